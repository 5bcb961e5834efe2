"""The command-line tool and the offline run; never deployed."""
