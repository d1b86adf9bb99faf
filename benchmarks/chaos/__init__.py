"""State that survives, put to the proof: ``make chaos`` (about 10 minutes on two cores).

Four rows, each a number of tries and of failures, in a table that also goes to
``docs/reliability.md``:

``kill``
    ``kill -9`` at a random moment of each command that writes.
``power``
    The power is lost at a random change of a file.
``readers``
    Readers start, look up and make training sets without pause, while profiles are encoded and
    published without pause; on SQLite and on Redis.
``damage``
    Each kind of file × {half, empty, gone, one flipped bit} × each command. The command has the
    result of a whole home, or names the file and a cure in one line; the cure is followed, and the
    command must succeed then.

After a kill or a loss of power, ``ubp status`` works, the same command succeeds when it is run
again, and the home then holds what an undisturbed run leaves and nothing else: tables, weights,
vectors bit for bit, served profiles. Times and the numbers of versions may differ.

The model of a power loss
-------------------------
A library (``shim.c``, by ``LD_PRELOAD``) records every change that a command makes to files and
directories, and kills the process at one of them. From the recording follows what a disk may hold:

* What was written to a file since its last ``fsync`` (or ``fdatasync``) is at random dropped, or
  there, or a part of the writes in any order is, or the file has grown and holds zeros there: each
  file by itself. A write over what was there leaves the old or the new, as file systems do.
* Names that were created, renamed or removed since the last ``fsync`` of their directory are at
  random all undone, or kept up to a random one, in their order. A file's own ``fsync`` does not
  make its name durable. A rename is atomic: also between two directories.
* So a file that was renamed into place before its ``fsync`` has its new name, and may be empty.

What the recording says is compared with the directory itself each time, so that no change passes by
unseen. SQLite's ``-shm`` files are no state, and are left out. Disks that lose what they
acknowledged, or that write half of a block of DuckDB in place, are not part of the model.

Commands are forks of one process that has everything imported. A try starts from a copy of a tiny
home, which counts as synced.
"""
