"""`hack/image/build`: writes the image as a docker-archive, for `docker load` and containerd."""

import argparse
import sys
from pathlib import Path

from hack.bed.errors import BedError
from hack.bed.report import Report
from hack.image.image import Description, default_tag, write_image
from hack.image.mirrors import mirrors

TEXT = """\
Write the image of challenge-controller to a file, with neither an engine nor a base image: from
Debian's packages and PyPI's wheels. Load it with `docker load --input FILE`, or on a node with
`ctr --namespace k8s.io images import FILE`."""


def main(words: list[str]) -> int:
    """Do what the words say; returns the exit code."""
    parser = argparse.ArgumentParser(
        "hack/image/build", description=TEXT, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="FILE.tar", help="where the image goes")
    add("--tag", default=default_tag(), metavar="NAME:TAG", help="its name (default: %(default)s)")
    add("--revision", metavar="COMMIT", help="label `revision` (default: the checkout's commit)")
    add("--source", default="", metavar="URL", help="label `source`: where its code can be read")
    add(
        "--mirror",
        metavar="URL",
        help="where Debian's packages come from (default: as apt on this\nmachine has it); one of "
        "a fixed date makes the same image again",
    )
    add("--security-mirror", metavar="URL", help="and its security fixes")
    add(
        "--fresh",
        action="store_true",
        help="make the base layer anew, with today's packages of Debian",
    )
    given = parser.parse_args(words)
    report = Report()
    try:
        write_image(
            given.output,
            Description(given.tag, given.revision, given.source),
            mirrors(given.mirror, given.security_mirror),
            report,
            fresh=given.fresh,
        )
    except (BedError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
