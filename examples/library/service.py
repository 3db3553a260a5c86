"""A web service that has pictures resized: it queues jobs and computes nothing itself.

pip install clworker fastapi uvicorn
CL_SERVER_DIR=/srv/cl uvicorn service:app
curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' 'localhost:8000/pictures/photo.jpg?width=800&height=600'
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse

from clworker.core import ComputeJob, JobClient, load_settings
from clworker.core.errors import ClworkerError, JobNotFound, UsageFault


@asynccontextmanager
async def one_client(app: FastAPI) -> AsyncIterator[None]:
    """Hold one client for the life of the service: threads share it."""
    with JobClient(load_settings({})) as app.state.client:
        yield


app = FastAPI(lifespan=one_client)


def the_client(request: Request) -> JobClient:
    client: JobClient = request.app.state.client
    return client


def the_job(job_id: str, client: Annotated[JobClient, Depends(the_client)]) -> ComputeJob:
    job = client.get(job_id)
    if job is None:
        raise HTTPException(404, f"there is no job {job_id}")
    return job


Client = Annotated[JobClient, Depends(the_client)]
Job = Annotated[ComputeJob, Depends(the_job)]


# Plain functions, not coroutines: the client blocks, and FastAPI runs these in threads.
@app.post("/pictures/{name}", status_code=202)
def resize(
    name: str, width: int, height: int, data: Annotated[bytes, Body(media_type="image/*")], client: Client
) -> dict[str, Any]:
    """Queue the picture. The client copies it into the job's folder, so ours can go."""
    if Path(name).suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
        raise HTTPException(415, f"{name} is no picture that we know")
    with TemporaryDirectory() as folder:
        picture = Path(folder, name)
        picture.write_bytes(data)
        try:
            job = client.submit("image_resize", [picture], {"width": width, "height": height})
        except UsageFault as refusal:  # what the caller can mend
            raise HTTPException(422, str(refusal)) from refusal
        except ClworkerError as failure:  # what the operator can mend
            raise HTTPException(503, str(failure)) from failure
    return {"job_id": job.job_id, "status": job.status}


@app.get("/jobs/{job_id}")
def state(job: Job) -> dict[str, Any]:
    """Tell how the job stands."""
    return {"status": job.status, "progress": job.progress, "error": job.error_message}


@app.get("/jobs/{job_id}/progress")
def progress(job: Job, client: Client) -> StreamingResponse:
    """Tell how the job gets on, a line for each change, until it has ended."""

    def lines() -> Iterator[str]:
        try:
            for update in client.watch(job.job_id, timeout=600):
                yield f"{update.status} {update.progress}\n"
        except (JobNotFound, TimeoutError) as end:
            yield f"{end}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/jobs/{job_id}/picture")
def picture(job: Job) -> FileResponse:
    """Hand out the finished picture."""
    if job.status != "completed":
        raise HTTPException(409, f"the job is {job.status}")
    return FileResponse(job.params["output_paths"][0])
