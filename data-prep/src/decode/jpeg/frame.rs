//! The frame of a JPEG: its size, its components, and the data of the scans so far.

/// Why a picture is not whole, or was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file ends before its end marker.
    NoEnd,
    /// A marker comes before the codes of all blocks.
    Missing,
    /// Coefficients that no scan has, or not to their last bit.
    MissingScans,
    /// Bits that are not a code.
    Damaged,
    /// A kind that is not checked.
    Unusual,
}

/// The picture's size and parts.
pub(super) struct Frame {
    pub(super) progressive: bool,
    width: usize,
    height: usize,
    pub(super) components: Vec<Component>,
}

/// One of the colours, as it is stored.
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks in one unit of an interleaved scan, across and down.
    pub(super) across: usize,
    pub(super) down: usize,
    /// For each coefficient how many of its bits are still to come; 255 before any came.
    pub(super) to_come: [u8; 64],
    /// For each block which coefficients are not 0; only in a progressive picture, where the codes depend on
    /// it.
    pub(super) nonzero: Vec<u64>,
}

impl Frame {
    pub(super) fn new(progressive: bool, body: &[u8]) -> Result<Frame, Fault> {
        let [_bits, h1, h0, w1, w0, count, components @ ..] = body else { return Err(Fault::Damaged) };
        let size = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
        let component = |bytes: &[u8; 3]| Component {
            id: bytes[0],
            across: usize::from(bytes[1] >> 4),
            down: usize::from(bytes[1] & 15),
            to_come: [255; 64],
            nonzero: vec![],
        };
        let components: Vec<Component> = components.as_chunks().0.iter().map(component).collect();
        let (width, height) = (size(*w1, *w0), size(*h1, *h0));
        let samples = |c: &Component| (1..=4).contains(&c.across) && (1..=4).contains(&c.down);
        if !(1..=4).contains(&components.len()) || components.len() != usize::from(*count) {
            return Err(Fault::Unusual);
        }
        if width == 0 || height == 0 || !components.iter().all(samples) {
            return Err(Fault::Unusual);
        }
        Ok(Frame { progressive, width, height, components })
    }

    /// Whether every coefficient has its last bit.
    pub(super) fn is_complete(&self) -> bool {
        self.components.iter().all(|component| component.to_come == [0; 64])
    }

    fn most(&self, of: impl Fn(&Component) -> usize) -> usize {
        self.components.iter().map(of).max().unwrap_or(1)
    }

    /// Units of an interleaved scan.
    pub(super) fn units(&self) -> usize {
        let across = self.width.div_ceil(8 * self.most(|c| c.across));
        across * self.height.div_ceil(8 * self.most(|c| c.down))
    }

    /// Blocks of one component alone.
    pub(super) fn blocks(&self, component: usize) -> usize {
        let Component { across, down, .. } = self.components[component];
        let wide = (self.width * across).div_ceil(8 * self.most(|c| c.across));
        wide * (self.height * down).div_ceil(8 * self.most(|c| c.down))
    }
}
