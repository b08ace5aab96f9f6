// Requests to begin with; the first is what the page shows at first. Candidates stand as a word match might order them.

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
