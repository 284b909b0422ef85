// swift-tools-version:5.9

import PackageDescription

let package = Package(
    name: "Housecount",
    platforms: [.iOS(.v15), .tvOS(.v15), .macOS(.v12), .watchOS(.v8)],
    products: [.library(name: "Housecount", targets: ["Housecount"])],
    targets: [
        .target(name: "Housecount"),
        .testTarget(name: "HousecountTests", dependencies: ["Housecount"]),
    ]
)
