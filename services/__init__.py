"""The K-Means Service: domain, backends, gateway, scheduler, worker and command line."""
