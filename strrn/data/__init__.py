"""From raw material to training samples: sources, crops, torch datasets, augmentation."""
