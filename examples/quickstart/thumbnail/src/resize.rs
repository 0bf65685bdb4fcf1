//! Makes a picture smaller; PNG stays PNG, JPEG stays JPEG.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

/// Points of a picture on either side, at most.
const SIDE_MAX: u32 = 8192;
/// Bytes that decoding may take.
const DECODED_MAX: u64 = 96 << 20;
/// Of 100.
const JPEG_QUALITY: u8 = 80;

/// The picture, `width` points wide, in the same format. One that is not wider already stays. To
/// scripts: `functions = { resize = "(string, i32) -> string" }`.
#[pilotlight_sdk::function]
pub fn resize(picture: &[u8], width: u32) -> Result<Vec<u8>, String> {
    if width == 0 {
        return Err("a width of 0".into());
    }
    let text = |error: image::ImageError| error.to_string();
    let format = image::guess_format(picture).map_err(text)?;
    let mut reader = ImageReader::with_format(Cursor::new(picture), format);
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(DECODED_MAX);
    reader.limits(limits);
    let decoded = reader.decode().map_err(text)?;
    if decoded.width() <= width {
        return Ok(picture.to_vec());
    }
    let height = u64::from(decoded.height()) * u64::from(width) / u64::from(decoded.width());
    encode(&decoded.thumbnail_exact(width, height.max(1) as u32), format).map_err(text)
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>, image::ImageError> {
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
mod tests;
