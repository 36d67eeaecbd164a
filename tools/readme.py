"""Rewrites the generated parts of README.md: tables from the registry, outputs by running the commands shown above them.

    python tools/readme.py            # rewrite
    python tools/readme.py --check    # exit code 1 if the tables are not current (outputs, which hold times, aside)
"""

import argparse
import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def command(text, name):
    """The `fusedloss` command line under the comment `<!-- name -->`."""
    line = re.search(rf"<!-- {name} -->\n```bash\n(.*)\n```", text)[1]
    return line[line.index("fusedloss score"):]


def output(text, name):
    from fusedloss.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(ROOT):
        main(shlex.split(command(text, name))[1:])
    return f"```text\n{printed.getvalue().strip()}\n```"


def aliases():
    from fusedloss.peers import ALIASES

    rows = [f"| `{name}` | `{ALIASES[name]()!r}` |" for name in ALIASES]
    return "\n".join(["| name | here |", "|---|---|", *rows])


def losses():
    from fusedloss.describe import table_markdown

    return table_markdown().strip()


def replaced(text, name, content):
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.S)
    assert pattern.search(text), f"README.md has no part {name!r}"
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = README.read_text()
    new = replaced(replaced(text, "losses", losses()), "aliases", aliases())
    if check:
        sys.exit(0 if new == text else "README.md: the tables are not current; run python tools/readme.py")
    for name in ("main job", "probabilities"):
        new = replaced(new, f"{name} output", output(text, name))
    README.write_text(new)


if __name__ == "__main__":
    main()
