"""A ConvLSTM cell (Shi et al., NeurIPS 2015), without peepholes."""

import torch
from torch import Tensor, nn


class ConvLSTMCell(nn.Module):
    """Gates by one convolution over input and hidden state; the state keeps the map's places."""

    def __init__(self, inputs: int, channels: int, kernel: int = 3) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {kernel}: an even one would shift the maps")
        self.channels = channels
        self.gates = nn.Conv2d(inputs + channels, 4 * channels, kernel, padding=kernel // 2)
        with torch.no_grad():
            self.gates.bias[channels : 2 * channels] = 1.0  # at the start nothing is forgotten

    def forward(self, maps: Tensor, hidden: Tensor, cell: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """maps (N, inputs, h, w), hidden and cell (N, channels, h, w), bias (N, 4 * channels) added to the gates everywhere -> both new."""
        gates = self.gates(torch.cat([maps, hidden], 1)) + bias[..., None, None]
        enter, forget, leave, new = gates.chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(cell), cell
