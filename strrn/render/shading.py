"""From visible triangles to linear colour: material times light, per pixel."""

import numpy as np

from strrn.render import hair as hair_module
from strrn.render import light, material, mesh, noise, rasteriser
from strrn.render.compiled import njit_inlining
from strrn.render.hair import CLOTH_SHEET, HAIR_SHEET
from strrn.render.light import lit_share
from strrn.render.material import body_albedo, eye_albedo, folds, smooth, times, worn_cloth
from strrn.render.mesh import BODY, LEFT_EYE, RIGHT_EYE, TONGUE
from strrn.render.noise import MOTTLE, PORE, STRAND, noise_at
from strrn.render.rasteriser import NOTHING

# Columns of `surface`, what the shader interpolates between the corners of a triangle: in one row, so that a corner is one line of memory.
REST, NORMAL, POSED, AMBIENT, MASK, NOISE_PLACE, COLUMNS = 0, 3, 6, 9, 10, 13, 15
TOOTH = 13.8  # width of a tooth, noise pixels: 8.5 mm


@njit_inlining(hair_module, light, material, mesh, noise, rasteriser)
def shade(index, weights, triangles, group, surface, look, gaze, mouth_open, raised, lights, shadows, shadow_depths, view, bank):
    """Linear RGB and coverage (H, W, 4) float32 of what `rasterise` found.

    surface: (V, COLUMNS) float32: rest position, normal and position in the camera's axes, ambient occlusion, masks, place in the noise.
    gaze: (2, 3) tuples, rest pose, the person's right eye first. mouth_open: 0..1, how much light enters the mouth. raised: 0..1, of the
    brows. lights: Lights; shadows, shadow_depths: of shadow_maps; view: (3,) unit vector to the camera. bank: noise.
    """
    height, width = index.shape
    picture = np.zeros((height, width, 4), np.float32)
    halves = np.zeros((len(lights.directions), 3))  # half way between a lamp and the camera: the normal that mirrors the lamp
    for lamp in range(len(lights.directions)):
        direction = lights.directions[lamp]
        hx, hy, hz = direction[0] + view[0], direction[1] + view[1], direction[2] + view[2]
        length = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
        halves[lamp, 0], halves[lamp, 1], halves[lamp, 2] = hx / length, hy / length, hz / length
    here = np.empty(COLUMNS, np.float32)
    for row in range(height):
        for column in range(width):
            triangle = index[row, column]
            if triangle == NOTHING:
                continue
            a, b, c = triangles[triangle, 0], triangles[triangle, 1], triangles[triangle, 2]
            wa, wb = weights[row, column, 0], weights[row, column, 1]
            wc = np.float32(1.0) - wa - wb
            for k in range(COLUMNS):
                here[k] = wa * surface[a, k] + wb * surface[b, k] + wc * surface[c, k]
            x, y, z = here[REST], here[REST + 1], here[REST + 2]
            nx, ny, nz = here[NORMAL], here[NORMAL + 1], here[NORMAL + 2]
            sky = here[AMBIENT]
            kind = group[triangle]
            hair, bump, gloss, wrap, power, shine = 0.0, 0.0, 1.0, 0.25, look.gloss, look.shine
            if kind == BODY:
                u, v = here[NOISE_PLACE], here[NOISE_PLACE + 1]
                colour, hair, bump, gloss = body_albedo(look, bank, x, y, z, u, v, here[MASK], here[MASK + 1], here[MASK + 2])
                sky = max(sky, 0.25 * hair)
                wrap = 0.25 * (1.0 - hair)
            elif kind in (LEFT_EYE, RIGHT_EYE):
                side = 0 if kind == RIGHT_EYE else 1
                colour = eye_albedo(look, bank, side, gaze[side], x, y, z)
                sky = 0.2 + 0.7 * sky
                power, shine = 350.0, 2.5
            elif kind == TONGUE:
                colour = times(look.tongue, mouth_open * (0.2 + 0.8 * smooth(0.7, 1.25, z)))
                sky *= 0.8
            elif kind == HAIR_SHEET:
                hair, wrap = 1.0, 0.1
                strand = noise_at(bank, STRAND, x, y) + 0.5 * noise_at(bank, STRAND, x * 2.1, y)
                colour = times(look.hair, max(0.2, 1.0 + look.hair_contrast * strand))
            elif kind == CLOTH_SHEET:
                colour = worn_cloth(look, y, noise_at(bank, MOTTLE, x, y), noise_at(bank, PORE, x, y))
                gloss = 0.0
            else:
                # Back teeth are in the dark; the arc is `TOOTH` noise pixels a tooth wide, and a gap is in the middle.
                between = abs(here[NOISE_PLACE] / TOOTH - np.floor(here[NOISE_PLACE] / TOOTH) - 0.5)
                lit = (0.1 + 0.9 * smooth(0.95, 1.34, z)) * (1.0 - 0.4 * smooth(0.4, 0.5, between))
                colour = times(look.teeth, mouth_open * lit)
                sky = 0.3 + 0.7 * sky
            if hair >= 0.6:
                # Hair shines in bands of its strands, whatever its colour.
                power, shine, gloss = 14.0, 0.05 * max(0.6 + 0.4 * bump, 0.0), 1.0
            if look.wrinkles > 0.0 and kind == BODY:
                ny += look.wrinkles * (0.35 + 0.65 * raised) * folds(x, y, z, bump)
            tilt = 0.4 * look.bump * (1.0 + hair) * bump
            nx += tilt
            ny += tilt
            shorten = 1.0 / (np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9)
            nx, ny, nz = nx * shorten, ny * shorten, nz * shorten
            if kind >= HAIR_SHEET and nz < 0:
                nx, ny, nz = -nx, -ny, -nz
            above = 0.5 + 0.5 * (nx * lights.up[0] + ny * lights.up[1] + nz * lights.up[2])
            red = (lights.sky[0] * above + lights.ground[0] * (1.0 - above)) * sky * colour[0]
            green = (lights.sky[1] * above + lights.ground[1] * (1.0 - above)) * sky * colour[1]
            blue = (lights.sky[2] * above + lights.ground[2] * (1.0 - above)) * sky * colour[2]
            for lamp in range(len(lights.directions)):
                if lights.colours[lamp][0] <= 0.0:
                    continue
                direction = lights.directions[lamp]
                cosine = nx * direction[0] + ny * direction[1] + nz * direction[2]
                # Light that entered the skin comes out beside where it fell: reddish, past the terminator.
                spread = max((cosine + wrap) / (1.0 + wrap), 0.0)
                if spread == 0.0:
                    continue
                diffuse = 0.35 * spread + 0.65 * max(cosine, 0.0)
                highlight = 0.0
                if cosine > 0.0:
                    mirrored = nx * halves[lamp, 0] + ny * halves[lamp, 1] + nz * halves[lamp, 2]
                    if mirrored > 0.6:
                        # mirrored to the power of `power`, by Schlick's rational function (1994): no exponential for every pixel.
                        highlight = shine * gloss * mirrored / (power - power * mirrored + mirrored)
                    if kind in (LEFT_EYE, RIGHT_EYE):  # whose highlights are small and sharp; the rational function's have wide skirts
                        highlight = shine * np.exp(power * (mirrored - 1.0))
                seen = 0.4 + 0.6 * sky
                if lamp < len(shadows):
                    share = lit_share(shadows[lamp], shadow_depths[lamp], here[POSED], here[POSED + 1], here[POSED + 2])
                    seen = 1.0 - lights.shadow * (1.0 - share)
                red += lights.colours[lamp][0] * seen * (colour[0] * spread + highlight)
                green += lights.colours[lamp][1] * seen * (colour[1] * diffuse + highlight)
                blue += lights.colours[lamp][2] * seen * (colour[2] * diffuse + highlight)
            picture[row, column, 0] = red
            picture[row, column, 1] = green
            picture[row, column, 2] = blue
            picture[row, column, 3] = 1.0
    return picture
