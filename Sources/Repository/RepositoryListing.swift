package import ObjectStore

/// The repositories whose pointers a store contains, in the byte order of their keys. Deleted ones
/// are included, as their pointers remain.
///
/// The listing is read page by page during the iteration, so a store may contain any number.
/// Repositories that are created in the meantime may or may not be included.
package struct RepositoryListing: Sendable {
    private let store: any ObjectStore
    private var page: ArraySlice<ListedObject> = []
    /// The key after which the next page begins; nil for the first page.
    private var last: String?
    private var isAtEnd = false

    /// Starts at the first repository; reads nothing yet.
    package init(of store: any ObjectStore) {
        self.store = store
    }

    /// Returns the next repository; nil at the end.
    ///
    /// - Throws: ``StoreError`` if a page cannot be read. Another call continues from there.
    package mutating func next() throws -> RepositoryName? {
        while true {
            while let object = page.popFirst() {
                if let name = Self.repository(ofPointer: object.key) { return name }
            }
            if isAtEnd { return nil }
            let objects = try store.list(prefix: Self.prefix, startingAfter: last)
            page = objects[...]
            // A page may contain fewer keys than it could; only an empty one is the end.
            if let end = objects.last { last = end.key } else { isAtEnd = true }
        }
    }

    /// Calls `body` with each repository.
    package static func forEach(
        in store: any ObjectStore, _ body: (RepositoryName) throws -> Void
    ) throws {
        var listing = RepositoryListing(of: store)
        while let name = try listing.next() { try body(name) }
    }

    private static let prefix = "repos/"

    /// The repository whose pointer has this key; nil if the key is another object's.
    private static func repository(ofPointer key: String) -> RepositoryName? {
        let suffix = "/pointer"
        guard key.hasPrefix(prefix), key.hasSuffix(suffix),
            key.utf8.count > prefix.utf8.count + suffix.utf8.count
        else { return nil }
        let name = RepositoryName(String(key.dropFirst(prefix.count).dropLast(suffix.count)))
        guard let name, ObjectKey.pointer(of: name).path == key else { return nil }
        return name
    }
}
