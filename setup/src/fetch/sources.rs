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
    /// How many bytes it has at the most.
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

/// A CIFAR archive.
const fn cifar(name: &'static str, file: &'static str, sha256: &'static str, bytes: u64) -> Source {
    Source { name, base: TORONTO, file, sha256, bytes, kind: Kind::Cifar }
}

/// Every source. Where the checksum is whole and the length known, the length is exact.
#[rustfmt::skip]
pub(super) const SOURCES: [Source; 16] = [
    cifar("cifar10", "cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", 170_498_071),
    cifar("cifar100", "cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", 169_001_437),
    weights("vgg11", "vgg11-8a719046.pth", "8a719046", 531_600_000),
    weights("vgg11_bn", "vgg11_bn-6002323d.pth",
        "6002323d9413ae02f657473d3ecbbd7f86ee496b8a0dc8dc6140a639a0fcf13d", 531_600_000),
    weights("vgg13", "vgg13-19584684.pth", "19584684", 532_300_000),
    weights("vgg13_bn", "vgg13_bn-abd245e5.pth", "abd245e5", 532_300_000),
    weights("vgg16", "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881),
    weights("vgg16_bn", "vgg16_bn-6c64b313.pth",
        "6c64b3138f2f4fcb3bcc4cafde11619c4f440eb1631787e93a682fd88305888a", 553_507_836),
    weights("vgg19", "vgg19-dcbb9e9d.pth",
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", 574_673_361),
    weights("vgg19_bn", "vgg19_bn-c79401a0.pth",
        "c79401a0cf3cb42714e4182f5868c7a6f4f4534f5df9e956e2bb2098de41cbb6", 574_769_405),
    weights("squeezenet1_0", "squeezenet1_0-b66bff10.pth", "b66bff10", 5_100_000),
    weights("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4_958_839),
    weights("resnet18", "resnet18-f37072fd.pth",
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571),
    weights("resnet34", "resnet34-b627a593.pth",
        "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", 87_319_819),
    weights("resnet50", "resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102_530_333),
    weights("mobilenet_v2", "mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889", 14_300_000),
];

impl Source {
    /// Whether the whole checksum is known. A part of 32 bits finds accidents: a file that has it, too, can
    /// be computed in an afternoon.
    pub(super) fn is_pinned(&self) -> bool {
        self.sha256.len() == 64
    }
}

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
            assert_eq!(source.file, format!("{}-{}.pth", source.name, &source.sha256[..8]));
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
