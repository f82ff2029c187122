"""From images and a protocol to splits and LR images."""
