"""HAProxy's configuration, turned into the `services` and `haproxy` of cluster.yaml.

`convert.py` is the whole; `words.py` and `source.py` read, `proxies.py` and what it calls map, `compare.py` holds
the promise: every directive is found again in the file that hactl renders, or is listed with its line.
"""
