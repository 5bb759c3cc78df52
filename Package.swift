// swift-tools-version: 6.1
import PackageDescription

/// Tests/run makes warnings errors. As a setting of our targets this spares the dependencies, which
/// SwiftPM compiles with `-suppress-warnings`: an option for the whole build would conflict with that.
let warnings: [SwiftSetting] =
    Context.environment["WARNINGS_AS_ERRORS"] == nil ? [] : [.unsafeFlags(["-warnings-as-errors"])]

/// Settings of every Swift target: Swift 6 language mode, and the upcoming features that keep
/// imports and existentials explicit. Fault points exist in debug builds only.
let settings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .define("FAULT_POINTS", .when(configuration: .debug)),
    ] + warnings

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "git-s3-backend",
    products: [
        .executable(name: "git-s3-backend", targets: ["git-s3-backend"]),
        .executable(name: "git-s3-backend-hook", targets: ["git-s3-backend-hook"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        .systemLibrary(
            name: "CFastCGI", pkgConfig: "fcgi", providers: [.apt(["libfcgi-dev"])]),
        .systemLibrary(
            name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(
            name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
        .target(name: "CSystem"),

        // The arrows point down: a target imports what stands above it in this list, as far as it is
        // named here. Tests/check-imports keeps the C modules in their rooms.
        .target(name: "Posix", dependencies: ["CSystem"], swiftSettings: settings),
        .target(name: "Bytes", dependencies: ["Posix", "COpenSSL"], swiftSettings: settings),
        .target(name: "GitProtocol", dependencies: ["Bytes"], swiftSettings: settings),
        .target(name: "ObjectStore", dependencies: ["Bytes", "Posix"], swiftSettings: settings),
        .target(
            name: "S3Store",
            dependencies: ["ObjectStore", "Bytes", "Posix", "CCurl", "CExpat"],
            swiftSettings: settings),
        .target(
            name: "Git", dependencies: ["GitProtocol", "Bytes", "Posix"], swiftSettings: settings),
        .target(
            name: "Repository",
            dependencies: ["ObjectStore", "GitProtocol", "Bytes", "Posix"],
            swiftSettings: settings),
        .target(
            name: "Fetch",
            dependencies: ["Repository", "Git", "GitProtocol", "Bytes", "Posix"],
            swiftSettings: settings),
        .target(
            name: "Cache",
            dependencies: ["Repository", "Git", "ObjectStore", "GitProtocol", "Bytes", "Posix"],
            swiftSettings: settings),
        .target(
            name: "Hydration",
            dependencies: [
                "Cache", "Repository", "Git", "ObjectStore", "GitProtocol", "Bytes", "Posix",
                logging,
            ],
            swiftSettings: settings),
        .target(name: "Bridge", dependencies: ["Posix"], swiftSettings: settings),
        .target(
            name: "Push",
            dependencies: [
                "Hydration", "Cache", "Repository", "Git", "Bridge", "ObjectStore", "GitProtocol",
                "Bytes", "Posix", logging,
            ],
            swiftSettings: settings),
        .target(
            name: "Maintenance",
            dependencies: [
                "Hydration", "Cache", "Repository", "Git", "ObjectStore", "GitProtocol", "Bytes",
                "Posix", logging,
            ],
            swiftSettings: settings),
        .target(
            name: "Migration",
            dependencies: [
                "Hydration", "Cache", "Repository", "Git", "ObjectStore", "GitProtocol", "Bytes",
                "Posix", logging,
            ],
            swiftSettings: settings),
        .target(
            name: "Policy",
            dependencies: ["Push", "Bridge", "ObjectStore", "GitProtocol", "Posix"],
            swiftSettings: settings),
        .target(
            name: "Gateway",
            dependencies: [
                "Fetch", "Push", "Policy", "Maintenance", "Hydration", "Cache", "Repository",
                "Git", "ObjectStore", "GitProtocol", "Bytes", "Posix", "CFastCGI", "CZlib",
                logging,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "git-s3-backend",
            dependencies: [
                "Gateway", "Policy", "Push", "Migration", "Maintenance", "Hydration", "Cache",
                "Repository", "Git", "S3Store",
                "ObjectStore", "GitProtocol", "Bytes", "Posix", logging, arguments,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "git-s3-backend-hook", dependencies: ["Bridge"],
            swiftSettings: settings),

        // Servers, clients and faults for tests: real nginx, SeaweedFS, git, and stores that fail.
        .target(
            name: "TestSupport", dependencies: ["ObjectStore", "S3Store", "Bytes", "Posix"],
            path: "Tests/TestSupport", swiftSettings: settings),
        // A repository in memory, and what it takes to push to it without a web server.
        .target(
            name: "TestBench",
            dependencies: [
                "Push", "Policy", "Maintenance", "Hydration", "Cache", "Repository", "Git",
                "Bridge",
                "ObjectStore", "GitProtocol", "Bytes", "Posix", "TestSupport", logging,
            ],
            path: "Tests/TestBench", swiftSettings: settings),
        // A process to race and to kill.
        .executableTarget(
            name: "FileStoreRacer",
            dependencies: ["ObjectStore", "Bytes", "Posix", "TestSupport"],
            path: "Tests/FileStoreRacer", swiftSettings: settings),
        .testTarget(
            name: "TestSupportTests", dependencies: ["Posix", "TestSupport", "FileStoreRacer"],
            swiftSettings: settings),
        .testTarget(
            name: "ObjectStoreTests",
            dependencies: [
                "ObjectStore", "S3Store", "Bytes", "Posix", "TestSupport", "FileStoreRacer",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "S3StoreTests",
            dependencies: ["S3Store", "ObjectStore", "Bytes", "Posix", "CCurl", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "GitProtocolTests",
            dependencies: ["GitProtocol", "Bytes", "Posix", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "PosixTests", dependencies: ["Posix"], swiftSettings: settings),
        .testTarget(
            name: "GitTests",
            dependencies: [
                "Git", "Hydration", "Repository", "GitProtocol", "ObjectStore",
                "Bytes", "Posix", "TestBench", "TestSupport", logging,
                "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "RepositoryTests",
            dependencies: [
                "Repository", "Maintenance", "GitProtocol", "ObjectStore", "Bytes",
                "Posix", "TestBench", "TestSupport", logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "CacheTests",
            dependencies: [
                "Cache", "Push", "Hydration", "Repository", "Git", "GitProtocol",
                "ObjectStore", "Bytes", "Posix", "TestBench", "TestSupport",
                logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "HydrationTests",
            dependencies: [
                "Hydration", "Maintenance", "Push", "Cache", "Repository", "Git",
                "GitProtocol", "ObjectStore", "Bytes", "Posix", "TestBench",
                "TestSupport", logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "PushTests",
            dependencies: [
                "Push", "Maintenance", "Policy", "Hydration", "Cache", "Repository",
                "Git", "Bridge", "GitProtocol", "ObjectStore", "Bytes", "Posix",
                "TestBench", "TestSupport", logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "MaintenanceTests",
            dependencies: [
                "Maintenance", "Push", "Hydration", "Cache", "Repository", "Git",
                "GitProtocol", "ObjectStore", "Bytes", "Posix", "TestBench",
                "TestSupport", logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "MigrationTests",
            dependencies: [
                "Migration", "Hydration", "Repository", "Git", "GitProtocol",
                "ObjectStore", "Bytes", "Posix", "TestBench", "TestSupport",
                logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "PolicyTests",
            dependencies: [
                "Policy", "Push", "Bridge", "GitProtocol", "ObjectStore", "Bytes", "Posix",
                "TestSupport", "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "Fetch", "Push", "Maintenance", "Hydration", "Cache", "Git",
                "Repository", "Policy", "GitProtocol", "ObjectStore", "Bytes", "Posix", "CZlib",
                "TestSupport", logging, "git-s3-backend-hook",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["TestSupport", "Bytes", "Posix", "git-s3-backend"],
            swiftSettings: settings),
    ]
)
