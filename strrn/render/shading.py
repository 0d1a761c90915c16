"""From visible triangles to linear colour: material times light, per pixel."""

import numpy as np

from strrn.render import light, material, mesh, noise, rasteriser
from strrn.render.compiled import njit_inlining
from strrn.render.light import lit_share
from strrn.render.material import body_albedo, eye_albedo
from strrn.render.mesh import BODY, LEFT_EYE, RIGHT_EYE, TONGUE
from strrn.render.noise import STRAND, noise_at
from strrn.render.rasteriser import NOTHING

HAIR_SHEET = 100  # group number of hair that hangs free of the head (strrn.render.hair)


@njit_inlining(light, material, mesh, noise, rasteriser)
def shade(
    index, weights, triangles, group, rest, posed, normals, ambient, masks, look, gaze, mouth_open, lights, shadow, shadow_depth, view, bank
):
    """Linear RGB and coverage (H, W, 4) float32 of what `rasterise` found.

    rest, posed, normals: (V, 3), posed and normals in the camera's axes. ambient: (V,), masks: (V, 3). gaze: (2, 3) tuples, rest pose, the
    person's right eye first. mouth_open: 0..1, how much light enters the mouth. lights: Lights; shadow, shadow_depth:
    of shadow_map; view: (3,) unit vector to the camera. bank: noise.
    """
    height, width = index.shape
    picture = np.zeros((height, width, 4), np.float32)
    colour = np.zeros(3)
    place, normal, point, mask = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for row in range(height):
        for column in range(width):
            triangle = index[row, column]
            if triangle == NOTHING:
                continue
            a, b, c = triangles[triangle, 0], triangles[triangle, 1], triangles[triangle, 2]
            wa, wb = weights[row, column, 0], weights[row, column, 1]
            wc = 1.0 - wa - wb
            for k in range(3):
                place[k] = wa * rest[a, k] + wb * rest[b, k] + wc * rest[c, k]
                normal[k] = wa * normals[a, k] + wb * normals[b, k] + wc * normals[c, k]
                point[k] = wa * posed[a, k] + wb * posed[b, k] + wc * posed[c, k]
                mask[k] = wa * masks[a, k] + wb * masks[b, k] + wc * masks[c, k]
            sky = wa * ambient[a] + wb * ambient[b] + wc * ambient[c]
            kind = group[triangle]
            hair, bump, gloss, wrap, eye, inner = 0.0, 0.0, 1.0, 0.25, 0.0, 1.0
            if kind == BODY:
                hair, bump, gloss = body_albedo(look, bank, place[0], place[1], place[2], mask[0], mask[1], mask[2], colour)
                sky = max(sky, 0.25 * hair)
                wrap = 0.25 * (1.0 - hair)
            elif kind in (LEFT_EYE, RIGHT_EYE):
                side = 0 if kind == RIGHT_EYE else 1
                eye = 1.0
                eye_albedo(look, bank, side, gaze[side], place[0], place[1], place[2], colour)
                sky = 0.25 + 0.75 * sky
            elif kind == TONGUE:
                colour[0], colour[1], colour[2] = look.tongue
                sky *= 0.8
                inner = mouth_open
            elif kind == HAIR_SHEET:
                hair, wrap = 1.0, 0.1
                strand = noise_at(bank, STRAND, place[0], place[1]) + 0.5 * noise_at(bank, STRAND, place[0] * 2.1, place[1])
                shade_of = max(0.2, 1.0 + look.hair_contrast * strand)
                for k in range(3):
                    colour[k] = look.hair[k] * shade_of
            else:
                colour[0], colour[1], colour[2] = look.teeth
                sky = 0.3 + 0.7 * sky
                inner = mouth_open
            if bump != 0.0:
                amount = look.bump * (1.0 + hair) * bump
                normal[0] += amount * 0.4
                normal[1] += amount * 0.4
            for k in range(3):
                colour[k] *= inner
            length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + 1e-9
            for k in range(3):
                normal[k] /= length
            if kind == HAIR_SHEET and normal[2] < 0:
                for k in range(3):
                    normal[k] = -normal[k]
            above = 0.5 + 0.5 * (normal[0] * lights.up[0] + normal[1] * lights.up[1] + normal[2] * lights.up[2])
            lit = 1.0
            if lights.shadow > 0.0:
                lit = 1.0 - lights.shadow * (1.0 - lit_share(shadow, shadow_depth, point[0], point[1], point[2]))
            for k in range(3):
                arriving = (lights.sky[k] * above + lights.ground[k] * (1.0 - above)) * sky
                picture[row, column, k] = arriving * colour[k]
            for lamp in range(len(lights.directions)):
                if lights.colours[lamp][0] <= 0.0:
                    continue
                direction = lights.directions[lamp]
                cosine = normal[0] * direction[0] + normal[1] * direction[1] + normal[2] * direction[2]
                # Light that entered the skin comes out beside where it fell: reddish, past the terminator.
                spread = max((cosine + wrap) / (1.0 + wrap), 0.0)
                hard = max(cosine, 0.0)
                hx, hy, hz = direction[0] + view[0], direction[1] + view[1], direction[2] + view[2]
                half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
                mirrored = max((normal[0] * hx + normal[1] * hy + normal[2] * hz) / half, 0.0)
                seen = lit if lamp == 0 else 0.4 + 0.6 * sky
                highlight = 0.0
                if cosine > 0.0 and mirrored > 0.6:
                    if eye > 0.0:
                        highlight = 2.5 * mirrored**350
                    else:
                        # Hair shines in bands of its strands, whatever its colour.
                        highlight = (
                            look.shine * gloss * mirrored**look.gloss if hair < 0.6 else 0.05 * max(0.6 + 0.4 * bump, 0.0) * mirrored**14
                        )
                for k in range(3):
                    diffuse = spread if k == 0 else 0.35 * spread + 0.65 * hard
                    picture[row, column, k] += lights.colours[lamp][k] * seen * (colour[k] * diffuse + highlight)
            picture[row, column, 3] = 1.0
    return picture
