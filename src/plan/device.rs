//! Which devices answer, and what of their memory is used.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Which devices answer. Analyses that have no [`crate::analyses::Kernel`] are always answered by the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor alone.
    #[default]
    Cpu,
    /// The GPUs as well, where there are some and they are faster than a worker; never one that is software.
    Auto,
    /// A GPU, whatever it is: hardware where there is some. Without one the run does not begin.
    Gpu,
    /// Every adapter whose name has this in it, upper or lower case. Without one the run does not begin.
    Named(Arc<str>),
}

impl Device {
    /// Whether the run is to fail where no such device is there.
    pub fn is_required(&self) -> bool {
        matches!(self, Device::Gpu | Device::Named(_))
    }
}

/// An adapter of this machine: a GPU, or software that acts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// Its name; [`Device::Named`] takes a part of it.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// The interface to the driver, such as `vulkan`.
    pub interface: String,
    /// Whether the processor does the work: [`Device::Auto`] never takes such an adapter.
    pub is_software: bool,
}

impl fmt::Display for Adapter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Adapter { name, driver, interface, is_software } = self;
        let driver = if driver.is_empty() { "unknown driver" } else { driver };
        write!(out, "{name}: {driver}, {interface}{}", if *is_software { ", software" } else { "" })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Device::Cpu => "cpu",
            Device::Auto => "auto",
            Device::Gpu => "gpu",
            Device::Named(name) => name,
        })
    }
}

impl FromStr for Device {
    type Err = String;

    /// `auto`, `cpu`, `gpu`, or a part of the name of an adapter.
    fn from_str(typed: &str) -> Result<Device, String> {
        match typed {
            "cpu" => Ok(Device::Cpu),
            "auto" => Ok(Device::Auto),
            "gpu" => Ok(Device::Gpu),
            name if name.trim().is_empty() => {
                Err("not auto, cpu, gpu or a part of an adapter's name".to_owned())
            }
            name => Ok(Device::Named(name.into())),
        }
    }
}

/// How many of the answers of a GPU are made once more by the processor, and compared. Where one differs, the GPU is left out
/// and the processor's count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GpuVerify {
    /// All: the GPU then only costs time.
    All,
    /// One file of every submission; of sketches the first rows of every tile, and some of the pairs that were found.
    #[default]
    Sample,
    /// None, beyond the test that every device has to pass before it is used.
    Off,
}
