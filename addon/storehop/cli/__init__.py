"""The command line: storehop run, check, explain, demo, schema, path (design §5)."""
