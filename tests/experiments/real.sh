#!/usr/bin/env bash
# The real data sets of docs/results.md through the local cloud: 4 workers, legs of at most 60 s.
#
#   tests/experiments/real.sh EFS [NAME...]   names: cifar-vgg19-2000 cifar-vgg19-10000 cifar-squeezenet ants-bees mnist
set -euo pipefail
cd "$(dirname "$0")/../.."
root=${1:?the folder to work in}; shift
data=${BATON_DATA:-../shared/data}
baton=target/release/baton prep=target/release/data-prep
[ -d "$data" ] || { echo "no real data: set BATON_DATA"; exit 3; }
[ $# -gt 0 ] || set -- cifar-vgg19-2000 cifar-vgg19-10000 cifar-squeezenet ants-bees mnist
mkdir -p "$root/datasets"

weights() { # name, network, file
    [ -e "$root/weights/$1/weights.json" ] || $baton weights add "$1" "$data/weights/$3" --root "$root" --network "$2"
}
cifar() { # data set's name, training part
    $prep cifar "$data/cifar10/cifar-10-batches-py" --out "$root/datasets/$1" \
        --train "$2" --val 'data_batch_5[:2000]' --val test_batch_first1000 >/dev/null
}
run() { # run's id, job, data set
    sed "s/\"dataset\": \"[a-z0-9-]*\"/\"dataset\": \"$3\"/" "docs/jobs/$2.json" >"$root/$1.json"
    /usr/bin/env time -f '  %e s, %M kB at the peak of the local cloud' \
        $baton local --root "$root" --run "$1" --job "$root/$1.json" --workers 4 --time-limit "${LIMIT:-60s}"
}
for name; do
    echo "== $name"
    case $name in
    cifar-vgg19-2000)  weights vgg19 vgg19 vgg19_features.safetensors; cifar cifar-2000 'data_batch_1[:2000]'
                       run "$name" cifar10-vgg19 cifar-2000 ;;
    cifar-vgg19-10000) weights vgg19 vgg19 vgg19_features.safetensors; cifar cifar-10000 data_batch_1
                       run "$name" cifar10-vgg19 cifar-10000 ;;
    cifar-squeezenet)  weights squeezenet1_0 squeezenet1_0 squeezenet1_0.safetensors; cifar cifar-2000 'data_batch_1[:2000]'
                       run "$name" cifar10-squeezenet cifar-2000 ;;
    ants-bees)         weights squeezenet1_0 squeezenet1_0 squeezenet1_0.safetensors
                       $prep folder "$data/hymenoptera_data" --out "$root/datasets/ants-bees" >/dev/null
                       run "$name" ants-bees ants-bees ;;
    mnist)             weights squeezenet1_0 squeezenet1_0 squeezenet1_0.safetensors
                       $prep idx "$data/mnist" --out "$root/datasets/mnist" --limit-train 10000 >/dev/null
                       run "$name" mnist mnist ;;
    *) echo "no such experiment: $name"; exit 2 ;;
    esac
done
