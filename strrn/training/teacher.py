"""A student and its teacher as one module: the teacher is what is validated, and absorbs the student by recursive average filtering."""

from collections import deque
from copy import deepcopy

import torch
from torch import Tensor, nn

from strrn.models.detection import Detection

State = dict[str, Tensor]


class RecursiveMean:
    """Mean of the last `size` snapshots of a network, kept by recursion: m_k = m_{k-1} + (s_k - s_{k-N}) / N.

    Before N are there, m_k = m_{k-1} + (s_k - m_{k-1}) / k, the mean of those that are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.snapshots: deque[State] = deque()
        self.mean: State = {}

    def push(self, state: State) -> State:
        """Take a snapshot of floating tensors in; returns the mean, which later calls change in place."""
        snapshot = {name: values.detach().clone() for name, values in state.items()}
        self.snapshots.append(snapshot)
        if len(self.snapshots) == 1:
            self.mean = {name: values.clone() for name, values in snapshot.items()}
            return self.mean
        full = len(self.snapshots) > self.size
        leaving, count = (self.snapshots.popleft(), self.size) if full else (self.mean, len(self.snapshots))
        for name, mean in self.mean.items():
            mean += (snapshot[name] - leaving[name]) / count
        return self.mean


class TeacherAndStudent(nn.Module):
    """Two networks of one structure that start equal. What is detected and validated is the teacher's.

    queue: N, snapshots of the student, one a step; rate: a of `teacher <- (1 - a) teacher + a m_k`, for weights and running statistics.
    own_step: does the teacher take gradient steps? Without, and with a queue of one, it is the exponential average of a mean teacher
    (Tarvainen and Valpola, NeurIPS 2017) of decay 1 - a.
    """

    def __init__(self, student: nn.Module, queue: int, rate: float, own_step: bool) -> None:
        super().__init__()
        self.student, self.teacher = student, deepcopy(student).requires_grad_(own_step)
        self.stride, self.rate = student.stride, rate
        self.recent = RecursiveMean(queue)
        self.steps = 0

    @torch.no_grad()
    def absorb(self) -> None:
        """Step 2 of the teacher, after the optimiser's step: it takes over a part of the mean of the student's last snapshots."""
        student, teacher = self.student.state_dict(), self.teacher.state_dict()
        mean = self.recent.push({name: values for name, values in student.items() if values.is_floating_point()})
        for name, values in teacher.items():
            if name in mean:
                values.lerp_(mean[name], self.rate)
            else:
                values.copy_(student[name])  # a counter
        self.steps += 1

    @torch.no_grad()
    def teach(self, reduced: Tensor) -> Tensor:
        """The teacher's points (B, L, 2) in crop pixels for reduced images in [0, 1]; by its running statistics, which stay as they are."""
        self.teacher.eval()
        points = self.teacher.detect(reduced).points
        self.teacher.train(self.training)
        return points

    def detect(self, reduced: Tensor) -> Detection:
        return self.teacher.detect(reduced)
