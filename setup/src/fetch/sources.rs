//! The sources of `baton fetch`: the official place of each data set and of each network's weights, and their
//! checksums.

/// One file on the network and its use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// The name that the user gives, and the folder's under `datasets/` or `weights/`.
    pub(super) name: &'static str,
    /// The official folder.
    pub(super) base: &'static str,
    /// The file's name there.
    pub(super) file: &'static str,
    /// The beginning of the file's SHA-256 in hex: all of it, or as much as the publisher states.
    pub(super) sha256: &'static str,
    /// About how many bytes it has.
    pub(super) bytes: u64,
    /// Its kind.
    pub(super) kind: Kind,
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A CIFAR archive: becomes a data set.
    Cifar,
    /// torchvision's ImageNet weights of the network of that name.
    Weights,
}

const TORONTO: &str = "https://www.cs.toronto.edu/~kriz";
const PYTORCH: &str = "https://download.pytorch.org/models";

/// torchvision puts the first 8 hex digits of a file's SHA-256 into its name.
const fn weights(name: &'static str, file: &'static str, sha256: &'static str, bytes: u64) -> Source {
    Source { name, base: PYTORCH, file, sha256, bytes, kind: Kind::Weights }
}

/// Every source.
pub(super) const SOURCES: [Source; 16] = [
    Source {
        name: "cifar10",
        base: TORONTO,
        file: "cifar-10-python.tar.gz",
        sha256: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        bytes: 170_498_071,
        kind: Kind::Cifar,
    },
    Source {
        name: "cifar100",
        base: TORONTO,
        file: "cifar-100-python.tar.gz",
        sha256: "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        bytes: 169_001_437,
        kind: Kind::Cifar,
    },
    weights("vgg11", "vgg11-8a719046.pth", "8a719046", 531_500_000),
    weights("vgg11_bn", "vgg11_bn-6002323d.pth", "6002323d", 531_500_000),
    weights("vgg13", "vgg13-19584684.pth", "19584684", 532_200_000),
    weights("vgg13_bn", "vgg13_bn-abd245e5.pth", "abd245e5", 532_200_000),
    weights("vgg16", "vgg16-397923af.pth", "397923af", 553_400_000),
    weights("vgg16_bn", "vgg16_bn-6c64b313.pth", "6c64b313", 553_500_000),
    weights("vgg19", "vgg19-dcbb9e9d.pth", "dcbb9e9d", 574_673_361),
    weights("vgg19_bn", "vgg19_bn-c79401a0.pth", "c79401a0", 574_800_000),
    weights("squeezenet1_0", "squeezenet1_0-b66bff10.pth", "b66bff10", 5_000_000),
    weights("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", "b8a52dc0", 5_000_000),
    weights("resnet18", "resnet18-f37072fd.pth", "f37072fd", 46_800_000),
    weights("resnet34", "resnet34-b627a593.pth", "b627a593", 87_300_000),
    weights("resnet50", "resnet50-0676ba61.pth", "0676ba61", 102_500_000),
    weights("mobilenet_v2", "mobilenet_v2-b0353104.pth", "b0353104", 14_200_000),
];

/// The source of that name.
pub(super) fn find(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_that_torchvision_has_can_be_fetched_and_every_name_tells_its_checksum() {
        for source in SOURCES.iter().filter(|source| source.kind == Kind::Weights) {
            assert_eq!(source.file, format!("{}-{}.pth", source.name, source.sha256));
            assert!(networks::network(source.name).is_ok());
        }
        for name in networks::names().iter().filter(|name| **name != "baton_small") {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn checksums_are_hex() {
        for Source { name, sha256, .. } in SOURCES {
            assert!(sha256.len() == 64 || sha256.len() == 8, "{name}");
            assert!(sha256.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()), "{name}");
        }
    }
}
