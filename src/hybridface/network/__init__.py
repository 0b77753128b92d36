"""The network: a timm backbone, the heads of the tasks on it, and the joint loss of a step."""
