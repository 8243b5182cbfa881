"""`make bench`: every measurement, one after the other."""

from __future__ import annotations

from bench import job, recovery

print("A default job through the embedded service")
job.main()
print("\nRecovery of the true K")
recovery.main()
