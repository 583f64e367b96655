//! What there is on one system alone. Outside of `host` nothing asks which system it is compiled for: modules that work on
//! one are declared inside of these.

/// Items that there are on Linux alone.
#[cfg(target_os = "linux")]
#[doc(hidden)]
#[macro_export]
macro_rules! on_linux {
    ($($item:item)*) => { $($item)* };
}

/// Items that there are on Linux alone.
#[cfg(not(target_os = "linux"))]
#[doc(hidden)]
#[macro_export]
macro_rules! on_linux {
    ($($item:item)*) => {};
}

/// Items that there are on macOS alone.
#[cfg(target_os = "macos")]
#[doc(hidden)]
#[macro_export]
macro_rules! on_macos {
    ($($item:item)*) => { $($item)* };
}

/// Items that there are on macOS alone.
#[cfg(not(target_os = "macos"))]
#[doc(hidden)]
#[macro_export]
macro_rules! on_macos {
    ($($item:item)*) => {};
}
