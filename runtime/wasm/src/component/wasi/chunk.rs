//! Bytes on their way in, which are written where they are wanted: a `Vec` of them would be one copy
//! more.

use std::mem::MaybeUninit;

use bytes::Bytes;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentType, Lower};
use wasmtime::{Result, ValRaw};

pub(super) struct Chunk(pub(super) Bytes);

// SAFETY: it is a list of bytes in all, as `[u8]` is.
unsafe impl ComponentType for Chunk {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8]>::typecheck(ty, types)
    }
}

// SAFETY: as above.
unsafe impl Lower for Chunk {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.0[..].linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        self.0[..].linear_lower_to_memory(cx, ty, offset)
    }
}
