//! Numbers as bytes: what outlives a sleep.

/// Appends.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, number: u8) {
        self.0.push(number);
    }
    pub(super) fn u16(&mut self, number: u16) {
        self.0.extend(number.to_le_bytes());
    }
    pub(super) fn i64(&mut self, number: i64) {
        self.0.extend(number.to_le_bytes());
    }

    /// A number from 0 to eight million, to a quarter of a thousandth of itself.
    pub(super) fn small(&mut self, number: f32) {
        self.u16((number.max(0.0).ln_1p() * 4096.0).min(65_535.0) as u16);
    }
}

/// Takes away; `None` at the end.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }
    pub(super) fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
    pub(super) fn small(&mut self) -> Option<f32> {
        Some((f32::from(self.u16()?) / 4096.0).exp_m1())
    }
}
