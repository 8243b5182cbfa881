"""The kernel beside its peers: `python -m bench.kernel`; its scaling: `python -m bench.kernel.scaling`."""
