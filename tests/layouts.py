"""Small whole data sets in the layouts that their users have on disk, twelve pictures each."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy.io import savemat

from conftest import picture_pixels

Files = dict[str, bytes]
RGB_CAL = (
    "517.679 0 320 \n0 517.679 240.5 \n0 0 1 \n\n0 0 0 0 \n\n"
    "1 0 0 \n0 1 0 \n0 0 1 \n\n-24.0198 5.8896 -13.2308 \n\n640 480\n"
)
ADIENCE_HEADER = (
    "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\t"
    "fiducial_score"
)
ATTRIBUTES = ("5_o_Clock_Shadow", "Eyeglasses", "Male", "Smiling")
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal"
)


def encode(seed: int, kind: str = "JPEG", size: int = 24) -> bytes:
    """Encode a small picture that no other seed gives."""
    out = io.BytesIO()
    Image.fromarray(picture_pixels(seed, size)).save(out, kind)
    return out.getvalue()


def mat(pitch: float, yaw: float, roll: float, points: np.ndarray | None = None) -> bytes:
    """Write a ``.mat`` file as AFLW2000-3D and 300W-LP have them, from angles in degrees."""
    pose = np.zeros((1, 7), np.float32)
    pose[0, :3] = np.radians([pitch, yaw, roll])
    if points is None:
        points = np.array([[6.0, 18.0, -1.0, 12.0], [8.0, 16.0, -1.0, 12.0]])
    out = io.BytesIO()
    savemat(out, {"Pose_Para": pose, "pt2d": points, "roi": np.zeros((1, 4), np.int16)})
    return out.getvalue()


def aflw2000() -> Files:
    """Build AFLW2000-3D, with numbers of several blocks."""
    files = {}
    for number in range(12):
        name = f"AFLW2000/image{number * 40 + 2:05d}"
        files[f"{name}.jpg"] = encode(number)
        files[f"{name}.mat"] = mat(number, -number * 5, number * 2)
    return files | {"AFLW2000/Code/readme.txt": b"code"}


def poses_300wlp() -> Files:
    """Build 300W-LP: three photos, two versions of each, and these mirrored."""
    files: Files = {"Code/Mex/readme.txt": b"code", "landmarks/AFW/AFW_1_1_0_pts.mat": mat(0, 0, 0)}
    photos = (("AFW", "AFW_1051618982_1"), ("HELEN", "HELEN_100032540_1"), ("LFPW", "LFPW_image_7"))
    for photo, (folder, name) in enumerate(photos):
        for version in range(2):
            for sign, end in ((1, ""), (-1, "_Flip")):
                stem = f"{folder}{end}/{name}_{version}"
                files[f"{stem}.jpg"] = encode(len(files) + 10 * photo)
                files[f"{stem}.mat"] = mat(5, sign * (30 + version), sign * 4)
    return files


def biwi(sequences: Sequence[int] = (1, 3, 15)) -> Files:
    """Build sequences of Biwi's database, of which 3 and 15 show one person."""
    files: Files = {"hpdb/readme.txt": b"readme"}
    for place, sequence in enumerate(sequences):
        files[f"hpdb/{sequence:02d}.obj"] = b"mesh"
        files[f"hpdb/{sequence:02d}/rgb.cal"] = RGB_CAL.encode()
        for frame in range(3, 7):
            stem = f"hpdb/{sequence:02d}/frame_{frame:05d}"
            files[f"{stem}_rgb.png"] = encode(10 * place + frame, "PNG", 640)
            files[f"{stem}_depth.bin"] = b"depth"
            files[f"{stem}_pose.txt"] = b"1 0 0 \n0 1 0 \n0 0 1 \n\n43.4 -30.7 906.9 \n"
    return files


def pointing04(people: Sequence[int] = (1, 2, 3)) -> Files:
    """Build people of Pointing'04."""
    files: Files = {"HeadPoseImageDatabase/README.txt": b"readme"}
    for person in people:
        for number, (tilt, pan) in enumerate((("-90", "+0"), ("+0", "+0"), ("+15", "-75"),
                                              ("-30", "+45"))):  # fmt: skip
            name = f"person{person:02d}1{number:02d}{tilt}{pan}"
            stem = f"HeadPoseImageDatabase/Person{person:02d}/{name}"
            files[f"{stem}.jpg"] = encode(10 * person + number)
            files[f"{stem}.txt"] = f"{name}.jpg\n\nFace\n12\n10\n8\n6\n".encode()
    return files


def utkface() -> Files:
    """Build UTKFace."""
    return {
        f"UTKFace/{number * 9}_{number % 2}_{number % 5}_201701{number:02d}20410000{number % 10}"
        f".jpg{('.chip.jpg', '')[number % 3 == 0]}": encode(number)
        for number in range(12)
    }


def lfw_gender() -> Files:
    """Build six people of LFW, with the sets of view 2."""
    people = ("Al_Gore", "Ann_Lee", "Bo_Li", "Carla_del_Ponte", "Dan_Su", "Eva_Ott")
    files: Files = {}
    lists: list[list[str]] = [[], []]
    for number, person in enumerate(people):
        for picture in (1, 2):
            name = f"{person}_{picture:04d}.jpg"
            files[f"lfw/{person}/{name}"] = encode(10 * number + picture)
            lists[number % 2].append(name)
    parts = people[:3], people[3:]
    sets = ["\n".join(["3", *(f"{each}\t2" for each in part)]) for part in parts]
    return {
        "male_names.txt": "\n".join(lists[0]).encode(),
        "female_names.txt": ("\n".join(lists[1]) + "\r\n").encode(),
        "people.txt": "\n".join(["2", *sets]).encode(),
        **files,
    }


def adience() -> Files:
    """Build five folds of Adience."""
    files: Files = {}
    ages = ("(0, 2)", "(25, 32)", "(60, 100)")
    for fold in range(5):
        lines = [ADIENCE_HEADER]
        for number in range(3):
            user, image = f"{fold}{number}@N0{fold}", f"1039{number}_{fold}_o.jpg"
            rest = "0\t0\t9\t9\t-10\t0\t21"
            lines.append(f"{user}\t{image}\t{number + 1}\t{ages[number]}\t{'fmm'[number]}\t{rest}")
            name = f"coarse_tilt_aligned_face.{number + 1}.{image}"
            files[f"faces/{user}/{name}"] = encode(10 * fold + number)
        files[f"fold_{fold}_data.txt"] = ("\n".join(lines) + "\n").encode()
    return files


def celeba() -> Files:
    """Build CelebA's lists and aligned pictures."""
    lines = ["12", " ".join(ATTRIBUTES) + " "]
    splits, people, files = [], [], {}
    for number in range(1, 13):
        name = f"{number:06d}.jpg"
        values = (-1, 1, 1 if number % 2 else -1, -1)
        lines.append(f"{name} {' '.join(f'{value:2d}' for value in values)}")
        splits.append(f"{name} {(0, 0, 1, 2)[number % 4]}")
        people.append(f"{name} {number // 2}")
        files[f"img_align_celeba/{name}"] = encode(number)
    return {
        "list_attr_celeba.txt": "\n".join(lines).encode(),
        "list_eval_partition.txt": "\n".join(splits).encode(),
        "identity_CelebA.txt": "\n".join(people).encode(),
        **files,
    }


def affectnet() -> Files:
    """Build AffectNet's original layout."""
    files: Files = {}
    for count, table in ((9, "training"), (3, "validation")):
        lines = [AFFECTNET_HEADER]
        for number in range(count):
            name = f"{number}/{table}{number}.jpg"
            files[f"Manually_Annotated_Images/{name}"] = encode(len(files))
            lines.append(f"{name},2,3,18,17,1.5;2.5;3.5,{number % 8},0.{number},-0.{number}")
        files[f"{table}.csv"] = ("\n".join(lines) + "\n").encode()
    return files


def affectnet_npy() -> Files:
    """Build AffectNet's later layout, the numbers as text as the real one has them."""
    files: Files = {}
    for count, folder in ((9, "train_set"), (3, "val_set")):
        for number in range(count):
            files[f"{folder}/images/{number}.jpg"] = encode(len(files))
            for end, value in (("exp", f"{number % 8}"), ("val", f"0.{number}"), ("aro", "-0.5"),
                               ("lnd", "1")):  # fmt: skip
                out = io.BytesIO()
                np.save(out, np.array(value))
                files[f"{folder}/annotations/{number}_{end}.npy"] = out.getvalue()
    return files


def rafdb_folders() -> Files:
    """Build RAF-DB with one folder a number."""
    return {
        f"DATASET/{split}/{number % 7 + 1}/{split}_{number:05d}_aligned.jpg": encode(
            100 * place + number
        )
        for place, (split, count) in enumerate((("train", 9), ("test", 3)))
        for number in range(count)
    }


def ckplus() -> Files:
    """Build CK+48."""
    return {
        f"CK+48/{name}/S{subject:03d}_00{subject % 7}_000000{frame}.png": encode(
            100 * kind + 10 * subject + frame, "PNG"
        )
        for kind, name in enumerate(("anger", "happy"))
        for subject in (10, 11, 42)
        for frame in (17, 18)
    }


def ckplus_whole() -> Files:
    """Build the whole of CK+, of which the third sequence of each subject has no emotion."""
    files: Files = {}
    for subject in (10, 11, 42):
        for sequence in (1, 2, 3):
            folder = f"S{subject:03d}/{sequence:03d}"
            stems = [f"S{subject:03d}_{sequence:03d}_{number:08d}" for number in range(1, 6)]
            for stem in stems:
                image = f"extended-cohn-kanade-images/cohn-kanade-images/{folder}/{stem}.png"
                files[image] = encode(len(files), "PNG", 80)
                points = "".join(f"   {20 + k:.7e}   {30 + k % 9:.7e}\n" for k in range(68))
                files[f"Landmarks/{folder}/{stem}_landmarks.txt"] = points.encode()
            if sequence < 3:
                emotion = f"   {7 if sequence == 1 else 1:.7e}\n".encode()
                files[f"Emotion_labels/Emotion/{folder}/{stems[-1]}_emotion.txt"] = emotion
    return files


# What each kind is built by, the data source by the folder that it is written to, and the label
# columns that are asked for.
LAYOUTS: dict[str, tuple[Callable[[], Files], str, tuple[str, ...]]] = {
    "aflw2000": (aflw2000, "aflw2000:{}", ()),
    "300wlp": (poses_300wlp, "300wlp:{}", ()),
    "biwi": (biwi, "biwi:{}", ()),
    "pointing04": (pointing04, "pointing04:{}", ()),
    "utkface": (utkface, "utkface:{}", ("gender",)),
    "lfw-gender": (lfw_gender, "lfw-gender:{}", ("gender",)),
    "adience": (adience, "adience:{}", ("age_group",)),
    "celeba": (celeba, "celeba:{}", ("gender",)),
    "affectnet": (affectnet, "affectnet:{}", ("expression",)),
    "affectnet_npy": (affectnet_npy, "affectnet:{}", ("expression",)),
    "rafdb_folders": (rafdb_folders, "rafdb:{}", ("expression",)),
    "ckplus": (ckplus, "ckplus:{}", ("expression",)),
    "ckplus_whole": (ckplus_whole, "ckplus:{}", ("expression",)),
}
