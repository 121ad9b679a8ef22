"""The command `gmzoo`: one thin command a file, imported when it is asked for."""
