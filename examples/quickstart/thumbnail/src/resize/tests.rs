use image::{DynamicImage, GenericImageView, ImageFormat, RgbImage};

use super::*;

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, (x * y % 251) as u8])
    });
    let mut out = Vec::new();
    DynamicImage::ImageRgb8(pixels).write_to(&mut Cursor::new(&mut out), format).unwrap();
    out
}

#[test]
fn pictures_get_smaller_and_keep_shape_and_format() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let small = resize(&picture(400, 300, format), 100).unwrap();
        assert_eq!(image::guess_format(&small).unwrap(), format);
        assert_eq!(image::load_from_memory(&small).unwrap().dimensions(), (100, 75));
    }
}

#[test]
fn nothing_grows() {
    let small = picture(40, 30, ImageFormat::Png);
    assert_eq!(resize(&small, 100).unwrap(), small);
}

#[test]
fn what_is_no_picture_is_an_error() {
    let whole = picture(40, 30, ImageFormat::Jpeg);
    for bytes in [&b""[..], b"hello", &whole[..20]] {
        assert!(resize(bytes, 10).is_err());
    }
    assert!(resize(&whole, 0).is_err());
}
