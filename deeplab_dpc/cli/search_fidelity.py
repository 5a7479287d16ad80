"""The measurement of deeplab-dpc search --mode=fidelity: how well the proxy ranks cells, compared with real training
(arXiv:1809.04184, Fig. 3 and 4).
"""

from deeplab_dpc.config import FidelityConfig
from deeplab_dpc.console import console
from deeplab_dpc.search.fidelity.fidelity_report import print_fidelity
from deeplab_dpc.search.fidelity.fidelity_runner import measure_fidelity, real_protocol
from deeplab_dpc.search.fidelity.measurement import FOLDER
from deeplab_dpc.search.fidelity.other_proxies import read_others, require_same_protocol
from deeplab_dpc.search.fidelity.trainings import SearchTrainings
from deeplab_dpc.search.job import Job
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.storage import open_storage


def run(config: FidelityConfig, job: Job) -> None:
    """Measures the fidelity, and prints the tables and the names of the written files."""
    others = read_others(config.fidelity_compare)
    require_same_protocol(others, real_protocol(job))
    storage = open_storage(job.service.storage, job.workdir, shared=False)
    with SearchWatch() as watch:
        result = measure_fidelity(job, config, storage, SearchTrainings(job, watch), watch, others)
    print_fidelity(result, others)
    console.print(f"Written: {job.workdir / FOLDER}/report.html, results.json, fidelity.csv, *.png")
