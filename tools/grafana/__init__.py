"""The Grafana dashboard, deploy/grafana/hactl.json: `python -m tools.grafana` writes it."""
