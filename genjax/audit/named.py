"""Detectors of the field as configs of one algorithm; their runs may see pictures through `augment.BlurJpeg`."""

from __future__ import annotations

from genjax.audit.detector import Detector
from genjax.audit.fronts import Residual, Spectrum
from genjax.nets import MLP, ConvEncoder
from genjax.optim import Adam, CosineDecay

_TX = Adam(1e-3, warmup=100, decay=CosineDecay(), clip=1.0)

# Wang et al. 2020, arXiv:1912.11035, with a net for small pictures; trained under BlurJpeg()
PIXELS = Detector(net=ConvEncoder((32, 64), patch=2), optimiser=_TX)

# Fridrich & Kodovsky 2012, 10.1109/TIFS.2012.2190402: one of their filters, and a net in place of co-occurrences
RESIDUALS = Detector(Residual(), ConvEncoder((32, 64), patch=2), _TX)

# Durall et al. 2020, arXiv:2003.01826: logistic regression of the radial power spectrum
SPECTRUM = Detector(Spectrum(), MLP(), Adam(0.03, decay=CosineDecay()))
