"""The command line: parse, call one function of the core, print. Nothing is computed here.

- `main`: the entry point: errors become two lines and an exit code
- `app`: the list of commands; heavy imports wait inside the command that needs them
- `options`: options that several commands share, spelled once
- `console`: the only place that prints: notes and progress on stderr, data and JSON on stdout
- the other files: one command each
"""
