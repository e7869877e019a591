//! Which adapters there are, and which of them a plan wants.

use std::path::Path;

use crate::plan::{Adapter, Device};

/// Whether there may be a GPU at all, as far as can be told without its driver: to load one takes longer than many a scan, and
/// software that behaves like one is installed on most systems.
pub(crate) fn may_be_there() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let has_render_node = || {
        let nodes = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
        nodes.into_iter().any(|node| node.file_name().as_encoded_bytes().starts_with(b"render"))
    };
    // NVIDIA's own driver, that of Windows below Linux, AMD's for computing, and ARM's.
    ["/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/mali0"].iter().any(|path| Path::new(path).exists())
        || has_render_node()
}

/// Every adapter, in the order of their drivers.
pub(crate) fn all() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Debugging layers find nothing that wgpu's own checks, which are always on, do not find.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()))
}

/// The adapters that `device` means, the best first; at least one.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn find(device: &Device) -> Result<Vec<wgpu::Adapter>, String> {
    let all = all();
    let infos: Vec<_> = all.iter().map(wgpu::Adapter::get_info).collect();
    let names = || {
        let names: Vec<_> = infos.iter().map(|info| format!("{:?}", info.name)).collect();
        if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) }
    };
    let is_wanted = |info: &wgpu::AdapterInfo| match device {
        Device::Cpu => false,
        Device::Auto => is_hardware(info),
        Device::Gpu => true,
        Device::Named(name) => info.name.to_lowercase().contains(&name.to_lowercase()),
    };
    let mut wanted: Vec<_> = all.iter().zip(&infos).filter(|(_, info)| is_wanted(info)).collect();
    wanted.sort_by_key(|(_, info)| rank(info));
    // Two drivers may show one card.
    let mut cards: Vec<&str> = Vec::new();
    wanted.retain(|(_, info)| {
        let card = info.device_pci_bus_id.as_str();
        let is_new = card.is_empty() || !cards.contains(&card);
        cards.push(card);
        is_new
    });
    // Software is for who has nothing else, and asks for it.
    if *device == Device::Gpu && wanted.iter().any(|(_, info)| is_hardware(info)) {
        wanted.retain(|(_, info)| is_hardware(info));
    }
    if wanted.is_empty() {
        return Err(match device {
            Device::Named(name) => format!("no adapter is named {name:?}: {}", names()),
            Device::Auto if !infos.is_empty() => "no adapter but software".to_owned(),
            _ => "no adapter was found".to_owned(),
        });
    }
    Ok(wanted.into_iter().map(|(adapter, _)| adapter.clone()).collect())
}

/// What lists of adapters show of one.
pub(crate) fn shown(info: &wgpu::AdapterInfo) -> Adapter {
    let (name, driver, interface) = describe(info);
    Adapter { name, driver, interface, is_software: !is_hardware(info) }
}

fn is_hardware(info: &wgpu::AdapterInfo) -> bool {
    use wgpu::DeviceType::{DiscreteGpu, IntegratedGpu, VirtualGpu};
    matches!(info.device_type, DiscreteGpu | IntegratedGpu | VirtualGpu)
}

fn rank(info: &wgpu::AdapterInfo) -> u8 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::VirtualGpu => 1,
        wgpu::DeviceType::IntegratedGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// What reports say of an adapter: its name, its driver, the interface to it.
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> (String, String, String) {
    let driver = [info.driver.trim(), info.driver_info.trim()];
    let driver: Vec<_> = driver.into_iter().filter(|part| !part.is_empty()).collect();
    (info.name.clone(), driver.join(" "), info.backend.to_str().to_owned())
}
