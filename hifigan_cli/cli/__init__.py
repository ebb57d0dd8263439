"""The command line. Each command parses its options, calls the core and prints the result.

- `main`: the entry point, which turns errors into two lines and an exit code
- `app`: the list of commands; each command imports heavy packages only when it runs
- `options`: the options that several commands share
- `console`: all printing: notes and progress on stderr, data and JSON on stdout
- `pipes`: `-` for stdin and stdout
- `*_view`: the output of commands that report many events
- the other files: one command each
"""
