"""The files that are generated from the code: writes them, or checks that they are up to date.

Must not generate anything itself: what a file holds is the business of the module that it comes
from.
"""

import sys
from pathlib import Path

import click

from controller.api import crd
from hack import argocd, kustomize, metrics_page, reference
from hack.bed.report import Report
from hack.chart import definitions, readme, schema, settings
from hack.chart.values import CHART

ROOT = Path(__file__).resolve().parent.parent


def files() -> dict[Path, str]:
    """Return the text that each generated file ought to have."""
    texts = {ROOT / "crds" / name: text for name, text in crd.manifests().items()}
    docs = {
        "api.md": reference.page(),
        "metrics.md": metrics_page.page(),
        "gitops/argocd/argocd-cm.yaml": argocd.config_map(),
    }
    texts |= {ROOT / "docs" / name: text for name, text in docs.items()}
    texts |= {
        CHART / "templates" / "crds" / name: text for name, text in definitions.templates().items()
    }
    return texts | {
        ROOT / "crds" / "Kustomization": kustomize.definitions(),
        CHART / "README.md": readme.text(),
        CHART / "values.schema.json": schema.text(),
        CHART / "files" / "settings.json": settings.roles_file(),
    }


def rendered() -> dict[Path, str]:
    """The same for those that the chart is rendered for, which takes Helm."""
    return {kustomize.INSTALL: kustomize.install(Report())}


def drift(wanted: dict[Path, str]) -> list[str]:
    """Return a line for each file that differs from what would be generated, or is too many."""
    folders = (ROOT / "crds", ROOT / "charts" / CHART.name / "templates" / "crds")
    paths = {*wanted, *(path for folder in folders for path in folder.glob("*.yaml"))}
    found = {path: path.read_text() for path in paths if path.exists()}
    complaints = []
    for path in sorted(wanted.keys() | found.keys()):
        name = path.relative_to(ROOT)
        if path not in wanted:
            complaints.append(f"{name}: nothing generates it; delete it")
        elif path not in found:
            complaints.append(f"{name}: missing; run hack/generate")
        elif wanted[path] != found[path]:
            complaints.append(f"{name}: differs from the code; run hack/generate")
    return complaints


@click.command(
    help="Write the files that are generated from the code: crds/*.yaml, docs/{api,metrics}.md, "
    "Argo CD's health checks, and the chart's definitions, schema and tables."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is out of date.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also charts/kustomize, which takes Helm (built once).",
)
def main(check: bool, everything: bool) -> None:
    """Write the files, or check them."""
    wanted = files() | (rendered() if everything else {})
    if check:
        complaints = drift(wanted)
        for complaint in complaints:
            click.echo(complaint, err=True)
        sys.exit(1 if complaints else 0)
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            click.echo(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
