// A loader: modules of @tensorflow/tfjs-layers name each other without their suffix, as bundlers take them.
export async function resolve(specifier, context, next) {
    try {
        return await next(specifier, context);
    } catch (error) {
        for (const suffix of ['.js', '/index.js']) {
            try {
                return await next(specifier + suffix, context);
            } catch {
                // the next one, or the first error
            }
        }
        throw error;
    }
}
