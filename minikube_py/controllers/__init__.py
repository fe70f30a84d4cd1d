"""The controllers: one module each, and the runner that owns their policy.

`ControllerManager(client_for, options).run()` runs them. A controller turns informer events into keys and reconciles keys; what it decides is
planned by pure functions (`rollout`, `slices`, `ownership`, `taints`...), which have table tests.
"""

from minikube_py.controllers.controller_manager import CONTROLLERS, ControllerManager, Options

__all__ = ["CONTROLLERS", "ControllerManager", "Options"]
