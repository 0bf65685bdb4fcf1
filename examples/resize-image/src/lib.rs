//! Pictures made smaller, for scripts: `gateway.wasm("imaging").resize(bytes, width, height)`.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};
use pilotlight_sdk::function;

/// Points of a picture on either side, at most.
const SIDE_MAX: u32 = 8192;
/// Bytes that decoding may take.
const DECODED_MAX: u64 = 96 << 20;
/// Of 100.
const JPEG_QUALITY: u8 = 80;

/// The picture, in its own format, so that it fits into so many points; 0 leaves a side open. One
/// that fits already stays as it is.
#[function]
pub fn resize(picture: &[u8], width: u32, height: u32) -> Result<Vec<u8>, ImageError> {
    let (decoded, format) = decode(picture)?;
    let open = |side: u32| if side == 0 { SIDE_MAX } else { side };
    let (width, height) = (open(width), open(height));
    if decoded.width() <= width && decoded.height() <= height {
        return Ok(picture.to_vec());
    }
    encode(&decoded.thumbnail(width, height), format)
}

/// What it is: `"png 320x240"`.
#[function]
pub fn describe(picture: &[u8]) -> Result<String, ImageError> {
    let format = image::guess_format(picture)?;
    let (width, height) =
        ImageReader::with_format(Cursor::new(picture), format).into_dimensions()?;
    Ok(format!("{} {width}x{height}", format.extensions_str().first().unwrap_or(&"?")))
}

fn decode(picture: &[u8]) -> Result<(DynamicImage, ImageFormat), ImageError> {
    let format = image::guess_format(picture)?;
    let mut reader = ImageReader::with_format(Cursor::new(picture), format);
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(DECODED_MAX);
    reader.limits(limits);
    Ok((reader.decode()?, format))
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    match format {
        ImageFormat::Jpeg => {
            picture.write_with_encoder(JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY))?;
        }
        format => picture.write_to(&mut Cursor::new(&mut out), format)?,
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{describe, resize};

    #[test]
    fn pictures_fit() {
        let lamp = include_bytes!("../pictures/lamp.jpg");
        let size = |width, height| describe(&resize(lamp, width, height).unwrap()).unwrap();
        let whole = describe(lamp).unwrap();
        assert_eq!(size(0, 0), whole);
        assert!(size(100, 0).starts_with("jpg 100x"), "{}", size(100, 0));
        assert!(size(0, 50).ends_with("x50"), "{}", size(0, 50));
        assert!(resize(b"GIF89a", 1, 1).is_err());
        assert!(resize(&lamp[..100], 1, 1).is_err());
    }
}
