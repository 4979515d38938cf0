"""What GitOps tools make of an object: the libraries that they use, asked as programs.

Must not judge anything itself. kstatus is what Flux and `kubectl`-like tools wait by, the Lua
interpreter is the one that Argo CD runs its health checks with.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hack.bed.cache import REPOSITORY
from hack.bed.golang import Build, build
from hack.bed.processes import run
from hack.bed.programs import required
from hack.bed.report import Report

MODULE = REPOSITORY / "hack" / "gitops"
Object = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What a tool says of an object: one of its words, and a text for people."""

    status: str
    message: str


def kstatus(objects: Iterable[Object], report: Report) -> list[Verdict]:
    """What kstatus says of each object: InProgress, Current, Failed or Terminating.

    Raises BedError when it cannot be built, or where Flux' fork of it says something else.
    """
    version = required(MODULE, "sigs.k8s.io/cli-utils")
    program = Build("kstatus", version, MODULE, "./kstatus", core_seconds=90)
    said = _ask(program, objects, report)
    for each in said:
        assert each["flux"] == each["status"], f"Flux' fork of kstatus differs: {each}"
    return [Verdict(each["status"], each["message"]) for each in said]


def argo_health(questions: Sequence[tuple[str, Object]], report: Report) -> list[Verdict]:
    """What Argo CD shows of each object by a health check in Lua: Healthy, Progressing and so on.

    Raises ProgramFailed with the interpreter's words for a script that does not run.
    """
    version = required(MODULE, "github.com/yuin/gopher-lua")
    program = Build("argo-health", version, MODULE, "./health", core_seconds=20)
    asked = [{"script": script, "object": found} for script, found in questions]
    return [Verdict(each["status"], each["message"]) for each in _ask(program, asked, report)]


def _ask(program: Build, questions: Iterable[Object], report: Report) -> list[dict[str, str]]:
    text = "\n".join(json.dumps(question) for question in questions)
    answers = run(build(program, report), stdin=text).stdout
    return [json.loads(line) for line in answers.splitlines()]
