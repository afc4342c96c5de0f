//! CIFAR archives, image folders, IDX and .npy files into a dataset folder.
