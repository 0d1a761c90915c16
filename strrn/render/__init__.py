"""The synthetic faces: a head mesh, what it looks like, and what a camera makes of it. No labelled photograph is needed anywhere.

mesh, landmarks: the head and the 68 points on it. identity, expression: who it is and what the face does. material, hair, light, background,
occluder, camera: what is seen. rasteriser, shading: how a picture comes about. scene: one frame; stills, clips, head_scan: data sets.
contact_sheet: a page of samples to look at. parameters: the `render` section of params.yaml.
"""
