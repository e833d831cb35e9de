import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from detection.detectors.cascade import CascadeMaskRCNN
from detection.detectors.class_transfer import class_names, load_detector_weights, map_classes, read_class_map
from detection.detectors.mask_rcnn import MaskRCNN
from detection.roi.roi_stage import RoIConfig
from swinv2 import BackboneConfig
from swinv2.weights.files import write_checkpoint

MAP = Path(__file__).parents[3] / "configs/detection/objects365_to_coco.json"
COCO = (  # parted by semicolons
    "person;bicycle;car;motorcycle;airplane;bus;train;truck;boat;traffic light;fire hydrant;stop sign;parking meter;"
    "bench;bird;cat;dog;horse;sheep;cow;elephant;bear;zebra;giraffe;backpack;umbrella;handbag;tie;suitcase;frisbee;"
    "skis;snowboard;sports ball;kite;baseball bat;baseball glove;skateboard;surfboard;tennis racket;bottle;"
    "wine glass;cup;fork;knife;spoon;bowl;banana;apple;sandwich;orange;broccoli;carrot;hot dog;pizza;donut;cake;"
    "chair;couch;potted plant;bed;dining table;toilet;tv;laptop;mouse;remote;keyboard;cell phone;microwave;oven;"
    "toaster;sink;refrigerator;book;clock;vase;scissors;teddy bear;hair drier;toothbrush"
)
OBJECTS365 = (  # as in the annotation files of version 2, typing errors and blanks at the end included
    "Person;Sneakers;Chair;Other Shoes;Hat;Car;Lamp;Glasses;Bottle;Desk;Cup;Street Lights;Cabinet/shelf;"
    "Handbag/Satchel;Bracelet;Plate;Picture/Frame;Helmet;Book;Gloves;Storage box;Boat;Leather Shoes;Flower;Bench;"
    "Potted Plant;Bowl/Basin;Flag;Pillow;Boots;Vase;Microphone;Necklace;Ring;SUV;Wine Glass;Belt;Moniter/TV;Backpack;"
    "Umbrella;Traffic Light;Speaker;Watch;Tie;Trash bin Can;Slippers;Bicycle;Stool;Barrel/bucket;Van;Couch;Sandals;"
    "Bakset;Drum;Pen/Pencil;Bus;Wild Bird;High Heels;Motorcycle;Guitar;Carpet;Cell Phone;Bread;Camera;Canned;Truck;"
    "Traffic cone;Cymbal;Lifesaver;Towel;Stuffed Toy;Candle;Sailboat;Laptop;Awning;Bed;Faucet;Tent;Horse;Mirror;"
    "Power outlet;Sink;Apple;Air Conditioner;Knife;Hockey Stick;Paddle;Pickup Truck;Fork;Traffic Sign;Ballon;Tripod;"
    "Dog;Spoon;Clock;Pot;Cow;Cake;Dinning Table;Sheep;Hanger;Blackboard/Whiteboard;Napkin;Other Fish;"
    "Orange/Tangerine;Toiletry;Keyboard;Tomato;Lantern;Machinery Vehicle;Fan;Green Vegetables;Banana;Baseball Glove;"
    "Airplane;Mouse;Train;Pumpkin;Soccer;Skiboard;Luggage;Nightstand;Tea pot;Telephone;Trolley;Head Phone;Sports Car;"
    "Stop Sign;Dessert;Scooter;Stroller;Crane;Remote;Refrigerator;Oven;Lemon;Duck;Baseball Bat;Surveillance Camera;"
    "Cat;Jug;Broccoli;Piano;Pizza;Elephant;Skateboard;Surfboard;Gun;Skating and Skiing shoes;Gas stove;Donut;Bow Tie;"
    "Carrot;Toilet;Kite;Strawberry;Other Balls;Shovel;Pepper;Computer Box;Toilet Paper;Cleaning Products;Chopsticks;"
    "Microwave;Pigeon;Baseball;Cutting/chopping Board;Coffee Table;Side Table;Scissors;Marker;Pie;Ladder;Snowboard;"
    "Cookies;Radiator;Fire Hydrant;Basketball;Zebra;Grape;Giraffe;Potato;Sausage;Tricycle;Violin;Egg;"
    "Fire Extinguisher;Candy;Fire Truck;Billards;Converter;Bathtub;Wheelchair;Golf Club;Briefcase;Cucumber;"
    "Cigar/Cigarette ;Paint Brush;Pear;Heavy Truck;Hamburger;Extractor;Extention Cord;Tong;Tennis Racket;Folder;"
    "American Football;earphone;Mask;Kettle;Tennis;Ship;Swing;Coffee Machine;Slide;Carriage;Onion;Green beans;"
    "Projector;Frisbee;Washing Machine/Drying Machine;Chicken;Printer;Watermelon;Saxophone;Tissue;Toothbrush;"
    "Ice cream;Hotair ballon;Cello;French Fries;Scale;Trophy;Cabbage;Hot dog;Blender;Peach;Rice;Wallet/Purse;"
    "Volleyball;Deer;Goose;Tape;Tablet;Cosmetics;Trumpet;Pineapple;Golf Ball;Ambulance;Parking meter;Mango;Key;"
    "Hurdle;Fishing Rod;Medal;Flute;Brush;Penguin;Megaphone;Corn;Lettuce;Garlic;Swan;Helicopter;Green Onion;Sandwich;"
    "Nuts;Speed Limit Sign;Induction Cooker;Broom;Trombone;Plum;Rickshaw;Goldfish;Kiwi fruit;Router/modem;Poker Card;"
    "Toaster;Shrimp;Sushi;Cheese;Notepaper;Cherry;Pliers;CD;Pasta;Hammer;Cue;Avocado;Hamimelon;Flask;Mushroon;"
    "Screwdriver;Soap;Recorder;Bear;Eggplant;Board Eraser;Coconut;Tape Measur/ Ruler;Pig;Showerhead;Globe;Chips;"
    "Steak;Crosswalk Sign;Stapler;Campel;Formula 1 ;Pomegranate;Dishwasher;Crab;Hoverboard;Meat ball;Rice Cooker;"
    "Tuba;Calculator;Papaya;Antelope;Parrot;Seal;Buttefly;Dumbbell;Donkey;Lion;Urinal;Dolphin;Electric Drill;"
    "Hair Dryer;Egg tart;Jellyfish;Treadmill;Lighter;Grapefruit;Game board;Mop;Radish;Baozi;Target;French;"
    "Spring Rolls;Monkey;Rabbit;Pencil Case;Yak;Red Cabbage;Binoculars;Asparagus;Barbell;Scallop;Noddles;Comb;"
    "Dumpling;Oyster;Table Teniis paddle;Cosmetics Brush/Eyeliner Pencil;Chainsaw;Eraser;Lobster;Durian;Okra;"
    "Lipstick;Cosmetics Mirror;Curling;Table Tennis "
)
SOURCE, TARGET = ["Cat", "Dog", "Moniter/TV"], ["tv", "snowman", "cat", "feline"]
TO_TARGET = {"cat": "Cat", "feline": "Cat", "tv": "Moniter/TV", "snowman": None, "not in the data": "Nor here"}
BACKBONE = BackboneConfig("swinv2_tiny_window8_256", window_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4)
ROI = RoIConfig(box_head_dim=8, mask_head_dim=4, mask_head_convs=1)
BOXES_ONLY = replace(ROI, masks=False)
STAGE = "roi_heads.stages.0."
CLASS_SCORE, BOX, MASK = (
    f"{STAGE}box_predictor.cls_score",
    f"{STAGE}box_predictor.bbox_pred",
    f"{STAGE}mask_head.predictor",
)


def mask_rcnn(classes, roi=ROI):
    """A small Mask R-CNN."""
    return MaskRCNN(BACKBONE, len(classes), fpn_channels=8, roi=roi)


def checkpoint(tmp_path, model, **more):
    """What `DetectionTask` writes, as far as it matters here."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, **more}, tmp_path / "source.ckpt")
    return str(tmp_path / "source.ckpt")


def class_map(tmp_path, content=None):
    """A file with a class map."""
    (tmp_path / "map.json").write_text(json.dumps(TO_TARGET if content is None else content))
    return tmp_path / "map.json"


def test_class_scores_are_arranged():
    """Each class starts from its counterpart, background from background, one without counterpart as it was."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    found = map_classes(source, target, SOURCE, TARGET, TO_TARGET)
    for name in (f"{CLASS_SCORE}.weight", f"{CLASS_SCORE}.bias"):
        wanted = [source[name][2], target[name][1], source[name][0], source[name][0], source[name][3]]
        assert torch.equal(found[name], torch.stack(wanted))


def test_boxes_and_masks_are_arranged():
    """Four rows of the box and one of the mask belong to each class."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    found = map_classes(source, target, SOURCE, TARGET, TO_TARGET)
    box, mask = f"{BOX}.weight", f"{MASK}.weight"
    wanted = [source[box][8:], target[box][4:8], source[box][:4], source[box][:4]]
    assert torch.equal(found[box], torch.cat(wanted))
    wanted = [source[mask][2], target[mask][1], source[mask][0], source[mask][0]]
    assert torch.equal(found[mask], torch.stack(wanted))


def test_box_of_all_classes_stays():
    """In a cascade all classes share one box, which moves as it is, in every stage."""
    source, target = (CascadeMaskRCNN(BACKBONE, len(c), 8, roi=ROI).state_dict() for c in (SOURCE, TARGET))
    found = map_classes(source, target, SOURCE, TARGET, TO_TARGET)
    for i in range(3):
        box, score = (f"roi_heads.stages.{i}.box_predictor.{layer}.weight" for layer in ("bbox_pred", "cls_score"))
        assert torch.equal(found[box], source[box])
        assert torch.equal(found[score][0], source[score][2])


def test_other_tensors_stay():
    """What knows no classes is not touched, and the model's own tensors are not changed."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    before = {name: value.clone() for name, value in target.items()}
    found = map_classes(source, target, SOURCE, TARGET, TO_TARGET)
    changed = {name for name in source if found[name] is not source[name]}
    assert changed == {f"{layer}.{kind}" for layer in (CLASS_SCORE, BOX, MASK) for kind in ("weight", "bias")}
    assert all(torch.equal(target[name], before[name]) for name in target)


@pytest.mark.parametrize("prefix", ["model.", "module.net.", "a.b."])
def test_detectors_behind_a_prefix_are_arranged(prefix):
    """Layers of classes are found wherever the detector lies."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    inside = {f"{prefix}{key}": value for key, value in source.items()}
    found = map_classes(inside, target, SOURCE, TARGET, TO_TARGET)
    name = f"{CLASS_SCORE}.weight"
    assert torch.equal(found[f"{prefix}{name}"][0], source[name][2])


@pytest.mark.parametrize(
    "value", [torch.zeros(4, 8, dtype=torch.int8), torch.full((4, 8), float("nan")), torch.tensor(1.0)]
)
def test_layers_of_no_use_are_left_to_the_loading(value):
    """It says which they are; they are not made into numbers of the model."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    name = f"{CLASS_SCORE}.weight"
    assert map_classes(source | {name: value}, target, SOURCE, TARGET, TO_TARGET)[name] is value


def test_detector_without_masks_starts_one_with_masks(tmp_path):
    """As in the paper, the mask branch starts at random and all else from the checkpoint."""
    source, target = mask_rcnn(SOURCE, BOXES_ONLY), mask_rcnn(TARGET)
    path = checkpoint(tmp_path, source, class_names=SOURCE)
    report = load_detector_weights(target, path, TARGET, class_map(tmp_path))
    assert all(name.startswith(f"{STAGE}mask_head") for name in report.missing)
    assert report.missing
    assert not report.unexpected
    loaded, given = target.state_dict(), source.state_dict()
    assert torch.equal(loaded[f"{CLASS_SCORE}.weight"][0], given[f"{CLASS_SCORE}.weight"][2])
    assert torch.equal(loaded["rpn.head.cls_logits.weight"], given["rpn.head.cls_logits.weight"])
    assert torch.equal(loaded["backbone.patch_embed.proj.weight"], given["backbone.patch_embed.proj.weight"])


def test_boxes_of_each_class_do_not_come_from_shared_ones():
    """Where the checkpoint has one box for all classes and the model one for each, these start anew."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    name = f"{STAGE}box_predictor.bbox_pred.weight"
    found = map_classes(source | {name: source[name][:4]}, target, SOURCE, TARGET, TO_TARGET)
    assert len(found[name]) == 4  # left to the loading, which reports it


def test_width_of_the_heads_may_differ():
    """Layers that do not fit for another reason are left to the loading, which reports them."""
    source = mask_rcnn(SOURCE, replace(ROI, box_head_dim=16)).state_dict()
    found = map_classes(source, mask_rcnn(TARGET).state_dict(), SOURCE, TARGET, TO_TARGET)
    assert found[f"{CLASS_SCORE}.weight"] is source[f"{CLASS_SCORE}.weight"]


def test_map_must_cover_the_data():
    """Classes of the data that the map lacks are listed, each with the nearest class of the checkpoint."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    message = r"does not cover 2 of the 4 classes of the data: 'snowman' \(nearest: .*\), 'cat' \(nearest: 'Cat'\)"
    with pytest.raises(ValueError, match=message):
        map_classes(source, target, SOURCE, TARGET, {"tv": "Moniter/TV", "feline": "Cat"})


def test_map_must_know_the_checkpoint():
    """Classes that the checkpoint does not have are listed, each with the nearest that it has."""
    source, target = mask_rcnn(SOURCE).state_dict(), mask_rcnn(TARGET).state_dict()
    message = r"names 1 classes that are not among the 3 of the checkpoint: 'Monitor/TV' \(nearest: 'Moniter/TV'\)"
    with pytest.raises(ValueError, match=message):
        map_classes(source, target, SOURCE, TARGET, TO_TARGET | {"tv": "Monitor/TV"})


def test_checkpoint_must_be_a_detectors(tmp_path):
    """A checkpoint without layers of classes, a backbone's, is an error."""
    model = mask_rcnn(TARGET)
    path = checkpoint(tmp_path, model.backbone, class_names=SOURCE)
    with pytest.raises(ValueError, match=r"no layers of classes like roi_heads\.stages"):
        load_detector_weights(model, path, TARGET, class_map(tmp_path))


def test_names_and_rows_must_agree():
    """Three names for four classes are an error."""
    source, target = mask_rcnn(TARGET).state_dict(), mask_rcnn(TARGET).state_dict()
    with pytest.raises(ValueError, match=r"names 3 classes, but \S*cls_score.weight has 5 rows"):
        map_classes(source, target, SOURCE, TARGET, TO_TARGET)


@pytest.mark.parametrize("content", [[1], {"class_names": "abc"}, {"class_names": [1, 2]}, torch.zeros(2)])
def test_names_of_classes_are_texts(tmp_path, content):
    """Whatever else a file has there names no classes."""
    torch.save(content, tmp_path / "weights.ckpt")
    with pytest.raises(ValueError, match="does not say the names of its classes, which a class map needs"):
        class_names(str(tmp_path / "weights.ckpt"))


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_checkpoint_must_name_its_classes(tmp_path, suffix):
    """Weights that do not say what their classes are cannot be mapped."""
    write_checkpoint(mask_rcnn(SOURCE).state_dict(), tmp_path / f"weights.{suffix}")
    with pytest.raises(ValueError, match="does not say the names of its classes, which a class map needs"):
        class_names(str(tmp_path / f"weights.{suffix}"))


def test_checkpoint_is_missing(tmp_path):
    """A checkpoint that is not there is said to be so."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt does not exist"):
        load_detector_weights(mask_rcnn(TARGET), str(tmp_path / "nothing.ckpt"), TARGET, class_map(tmp_path))


def test_map_is_missing(tmp_path):
    """A map that is not there is said to be so, with an example."""
    with pytest.raises(FileNotFoundError, match=r"no class map .*nothing\.json; give a JSON file such as"):
        read_class_map(tmp_path / "nothing.json")


@pytest.mark.parametrize("content", [["cat"], {"cat": 1}, "cat"])
def test_map_must_be_an_object_of_texts(tmp_path, content):
    """Lists, and numbers as classes, are an error."""
    with pytest.raises(ValueError, match=r"is no JSON object of texts and nulls: it has .*; write"):
        read_class_map(class_map(tmp_path, content))


def test_map_must_be_json(tmp_path):
    """YAML is an error."""
    (tmp_path / "map.json").write_text("cat: Cat")
    with pytest.raises(ValueError, match=r"map\.json is no JSON that can be read \(.*\); write"):
        read_class_map(tmp_path / "map.json")


def test_shipped_map_covers_coco():
    """The map from Objects365 to COCO has the 80 classes of COCO, and no other."""
    assert list(read_class_map(MAP)) == COCO.split(";")


def test_shipped_map_names_classes_of_objects365():
    """Its values are classes of Objects365 v2, in the spelling of the annotation files, each used once."""
    values, known = list(read_class_map(MAP).values()), OBJECTS365.split(";")
    assert len(known) == len(set(known)) == 365
    assert set(values) <= set(known)
    assert len(set(values)) == 80


@pytest.mark.parametrize("content", ['{"cat": "Cat", "cat": null}', "[" * 100_000])
def test_map_must_be_json_that_says_one_thing(tmp_path, content):
    """A class that comes twice, and lists without end."""
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(ValueError, match=r"map\.json is no JSON that can be read \(.*twice|depth.*\); write"):
        read_class_map(tmp_path / "map.json")
