"""`make bench`: every measurement, one after the other."""

from __future__ import annotations

from bench import job, recovery
from bench.kernel import __main__ as kernel

print("The kernel beside its peers")
kernel.main()
print("\nA default job through the embedded service")
job.main()
print("\nRecovery of the true K")
recovery.main()
