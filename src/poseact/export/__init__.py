"""Answers and networks as files that other programs read.

- `tables`: long CSV, COCO JSON and NPZ of what was answered about a video.  `bvh`: one person's 3D.
- `onnx`, `openvino`, `quantise`: a network for other engines, and in INT8.  `network`: such a folder, run
  like weights.
"""
