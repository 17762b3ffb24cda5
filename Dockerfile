# docker build -t bfkit . && docker run --rm -p 127.0.0.1:8888:8888 bfkit
# The pinned versions, torch for CPUs; docs/installing.md says what else to run in it.
FROM python:3.11-bookworm

RUN useradd --create-home --uid 1000 reader && install --directory --owner reader /bfkit
USER 1000
WORKDIR /bfkit
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu PIP_NO_CACHE_DIR=1

COPY --chown=reader Makefile pyproject.toml constraints.txt README.md CONTRIBUTING.md LICENSE ./
COPY --chown=reader bfkit bfkit
RUN make .venv/.installed
COPY --chown=reader docs docs
COPY --chown=reader notebooks notebooks
COPY --chown=reader tests tests
COPY --chown=reader reports reports

EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "notebooks"]
