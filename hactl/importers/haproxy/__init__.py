"""HAProxy's configuration, turned into the `services` and `haproxy` of cluster.yaml.

`convert.py` is the whole; `source.py` reads, `proxies.py` and the modules that it calls map, `compare.py` holds the
promise: every directive is found again in the file that hactl renders, or is listed with its line.
"""
