"""Kind `ocf`: a resource that an OCF resource agent starts, stops and looks at (OCF resource agent API 1.1)."""
