"""What must not go wrong: a test for each row of the fault matrix, and what no row foresees.

- `matrix`: the fifty rows, and the table of them at the end of a test run
- `circumstances`: full disks, foreign folders, little memory, made without root's help
- `test_row_*`: the rows, each through the command line in a subprocess
- `test_matrix`: that every row has its test, and every exit code its row
- `fuzz`: thousands of mutated files; whatever they hold, an answer or an error with a name
- `kills`, `test_kills`: processes killed at random moments, and what their successors find
- `test_integrity`: flipped bits
- `test_security`: sockets, pickles, temporary files
"""
