# Functions of jq that are made of others. Those that loop over values or make them are natives.

def null: [][0];

# Kinds
def values: select(. != null);
def nulls: select(. == null);
def booleans: select(type == "boolean");
def numbers: select(type == "number");
def strings: select(type == "string");
def arrays: select(type == "array");
def objects: select(type == "object");
def iterables: select(type | . == "array" or . == "object");
def scalars: select(type | . != "array" and . != "object");
def toarray: if type == "array" then . else [.] end;

# Numbers
def abs: if type == "number" and . < 0 then -. else . end;
def fabs: if . < 0 then -. else . end;
def isnormal: . != 0 and (isnan or isinfinite | not);
def finites: select(isinfinite or isnan | not);
def normals: select(isnormal);

# Lists
def keys: keys_unsorted | sort;
def sort_by(f): [.[] | [[f], .]] | _sorted;
def group_by(f): [.[] | [[f], .]] | _grouped;
def add(f): reduce f as $x (null; . + $x);
def add: add(.[]);
def min_by(f): sort_by(f) | .[0];
def max_by(f): sort_by(f) | .[-1];
def min: sort | .[0];
def max: sort | .[-1];
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def transpose: [range(0; map(length) | max // 0) as $i | [.[][$i]]];
def inside($whole): . as $part | $whole | contains($part);
def in($whole): . as $key | $whole | has($key);
def index($x): indices($x) | .[0];
def rindex($x): indices($x) | .[-1];
def combinations: if length == 0 then [] else .[0][] as $first | [$first] + (.[1:] | combinations) end;
def combinations($n): . as $all | [range($n) | $all] | combinations;
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);

# Maps
def from_entries: reduce .[] as $entry ({};
    . + {($entry | if type == "object" then
            if has("key") then .key elif has("k") then .k elif has("name") then .name
            elif has("Key") then .Key elif has("Name") then .Name else .K end
          else null end | if type == "string" then . elif . == null then "null" else tojson end):
         ($entry | if has("value") then .value elif has("v") then .v elif has("Value") then .Value else .V end)});
def with_entries(f): to_entries | map(f) | from_entries;
def delpaths($paths): reduce ($paths | sort | reverse | .[]) as $path (.; getpath($path) |= empty);
def del(f): delpaths([path(f)]);
def leaf_paths: paths(scalars);
def pick(f): . as $whole | reduce path(f) as $path (null; setpath($path; $whole | getpath($path)));

# Texts
def join($between): reduce .[] as $x (null;
    (if . == null then "" else . + $between end) + ($x | if . == null then "" else tostring end)) // "";
def ascii: [.] | implode;
def @text: tostring;
def @json: tojson;
