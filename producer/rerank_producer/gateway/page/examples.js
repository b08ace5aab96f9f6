// Requests to begin with; the first is what the page shows at first. Candidates stand as a word match might order them.
// Those with scores are the demo's: the best by BM25 of Python 3.11's docstrings, with the scores of `Bm25Index.top`
// (ops/rerank_ops/demo/first_stage.py). Neither is the rule: over the demo's questions fusion may help, or do harm.

const DRAIN = "When a worker is stopped it drains: it takes no new jobs, finishes the batch that runs, and gives the rest back to the queue. ";

export const EXAMPLES = [
  {
    name: "Undo a git commit",
    query: "how do I undo the last git commit without losing my changes",
    candidates: [
      "Git was written by Linus Torvalds in 2005 for the development of the Linux kernel.",
      "To sign your commits, tell git which key to use with user.signingkey.",
      "Losing a password is no drama: the administrator can set a new one.",
      "git stash puts your uncommitted changes away and leaves a clean tree.",
      "git log --oneline shows one line for each commit, the last one first.",
      "git reset --soft HEAD~1 undoes the last commit; your changes stay in the index, ready to be committed again.",
      "git revert adds a new commit that takes an older one back, which is safe on branches that others have.",
      "git commit --amend puts what is staged into the last commit instead of a new one.",
      "Change the oil every 15,000 km, and do not lose the washer.",
      "With git reflog you find a commit that no branch points to any more.",
    ].join("\n"),
  },
  {
    name: "How vaccines work",
    query: "how do vaccines protect against a disease",
    candidates: [
      "Vaccines must be kept between 2 and 8 °C on their way to the clinic.",
      "The clinic is open on weekdays; bring your vaccination card.",
      "A raincoat protects against rain but hardly against wind.",
      "A vaccine shows the immune system a harmless piece of a germ, so that it makes antibodies and memory cells before the real one comes.",
      "Edward Jenner tested the first vaccine, against smallpox, in 1796.",
      "Side effects such as a sore arm or a mild fever pass within two days.",
      "When most people are immune, a germ finds no way to spread, which shields those who cannot be vaccinated.",
      "Plant diseases are fought by crop rotation and resistant varieties.",
    ].join("\n"),
  },
  {
    name: "BM25 scores: fusion helps",
    query: "How do I check whether a file exists?",
    fusion: { fusion: "zscore" },
    candidates: [
      "pathlib.Path.exists Whether this path exists.\t6.08",
      "os.path.exists Test whether a path exists. Returns False for broken symbolic links\t5.21",
      "lzma.is_check_supported Test whether the given integrity check is supported. Always returns True for CHECK_NONE and CHECK_CRC32.\t5.04",
      "sched.scheduler.empty Check whether the queue is empty.\t4.68",
      "class FileExistsError File already exists.\t4.43",
      "os.path.lexists Test whether a path exists. Returns True for broken symbolic links\t4.31",
      "multiprocessing.freeze_support Check whether this is a fake forked process in a frozen executable. If so then run code specified by commandline and exit.\t3.65",
      "io.BufferedRWPair.fileno Returns underlying file descriptor if one exists. OSError is raised if the IO object does not use a file descriptor.\t3.51",
      "issubclass Return whether 'cls' is derived from another class or is the same class. A tuple, as in ``issubclass(x, (A, B, ...))``, may be given as the target to check against. This is equivalent to ``issubclass(x, A) or issubclass(x, B) or ...``.\t3.46",
      "isinstance Return whether an object is an instance of a class or of a subclass thereof. A tuple, as in ``isinstance(x, (A, B, ...))``, may be given as the target to check against. This is equivalent to ``isinstance(x, A) or isinstance(x, B) or ...`` etc.\t3.37",
    ].join("\n"),
  },
  {
    name: "BM25 scores: nothing changes",
    query: "How do I open an SQLite database in memory?",
    fusion: { fusion: "zscore" },
    candidates: JSON.stringify(
      [
        { id: "sqlite3.connect", text: "sqlite3.connect Opens a connection to the SQLite database file database. You can use \":memory:\" to open a database connection to a database that resides in RAM instead of on disk.", score: 9.56 },
        { id: "sqlite3.Connection", text: "class sqlite3.Connection SQLite database connection object.", score: 6.43 },
        { id: "sqlite3.Cursor", text: "class sqlite3.Cursor SQLite database cursor class.", score: 6.43 },
        { id: "sqlite3", text: "module sqlite3 The sqlite3 extension module provides a DB-API 2.0 (PEP 249) compliant interface to the SQLite library, and requires SQLite 3.7.15 or newer. To use the module, start by creating a database Connection object: import sqlite3 cx = sqlite3.connect(\"test.db\") # test.db will be created or opened The special path name \":memory:\" can be provided", score: 5.06 },
        { id: "sqlite3.Connection.serialize", text: "sqlite3.Connection.serialize Serialize a database into a byte string. name Which database to serialize. For an ordinary on-disk database file, the serialization is just a copy of the disk file. For an in-memory database or a \"temp\" database, the serialization is the same sequence of bytes which would be written to disk if that database were backed up to disk.", score: 5.00 },
      ],
      null,
      1,
    ),
  },
  {
    name: "JSON with ids, one too long",
    query: "what happens to a worker's jobs when it is stopped",
    candidates: JSON.stringify(
      [
        { id: "stop-words", text: "Stop words such as “a”, “the” and “is” are told apart by their frequency." },
        { id: "html", text: "<b>Workers</b> stop at noon. <script>alert('lunch')</script>" },
        { id: "lease", text: "A job whose worker fell silent is delivered again to another worker once its lease has run out." },
        { id: "drain", text: DRAIN.repeat(36).trim() },
        { id: "union", text: "The job centre opens at nine; workers are asked to bring their papers." },
      ],
      null,
      1,
    ),
  },
];
